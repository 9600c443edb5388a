//! One request over a connection of its own, by HTTP or by FastCGI.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Where requests go in.
#[derive(Clone)]
pub enum Door {
    /// A server of HTTP, by its socket.
    Http(PathBuf),
    /// PHP-FPM without a web server before it: a hop less, which is in its favour.
    FastCgi {
        /// Its socket.
        socket: PathBuf,
        /// The script.
        script: PathBuf,
    },
}

/// What is asked.
#[derive(Clone, Copy)]
pub enum Work {
    /// Hold the lock for so many milliseconds, and count.
    Lock(u64),
    /// Read, without the lock.
    Read,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The number that was stored or read.
    pub number: u64,
    /// When the lock was there, and when it was about to be given back: microseconds on everybody's clock.
    pub held: u64,
    /// See `held`.
    pub lets_go: u64,
}

impl Door {
    /// Asks.
    pub async fn ask(&self, work: Work, cookie: &str) -> Result<Answer, String> {
        let whole = match self {
            Door::Http(socket) => {
                let path = match work {
                    Work::Lock(ms) => format!("/lock?ms={ms}"),
                    Work::Read => "/read".to_owned(),
                };
                http(socket, &path, cookie).await.map_err(|error| error.to_string())?
            }
            Door::FastCgi { socket, script } => {
                let query = match work {
                    Work::Lock(ms) => format!("work=lock&ms={ms}"),
                    Work::Read => "work=read".to_owned(),
                };
                let script = script.display().to_string();
                let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
                fast_cgi(stream, &script, &query, cookie).await.map_err(|error| error.to_string())?
            }
        };
        read(&whole).ok_or_else(|| format!("a strange answer: {whole}"))
    }
}

/// The whole response.
pub async fn http(socket: &Path, path: &str, cookie: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

fn read(whole: &str) -> Option<Answer> {
    let (head, body) = whole.split_once("\r\n\r\n")?;
    // FastCGI has no first line, and names a status only where it is no success.
    let refused =
        head.starts_with("Status:") || (head.starts_with("HTTP") && !head.starts_with("HTTP/1.1 200"));
    let mut numbers = body.split(' ').map(|number| number.trim().parse().ok());
    let mut next = || numbers.next().flatten();
    (!refused).then_some(Answer { number: next()?, held: next()?, lets_go: next()? })
}

// The FastCGI specification, version 1: records with a head of eight bytes, one request for each connection.
const VERSION: u8 = 1;
const BEGIN: u8 = 1;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

fn record(kind: u8, content: &[u8], to: &mut Vec<u8>) {
    let length = u16::try_from(content.len()).expect("a short record").to_be_bytes();
    to.extend_from_slice(&[VERSION, kind, 0, 1, length[0], length[1], 0, 0]);
    to.extend_from_slice(content);
}

async fn fast_cgi(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &str,
    query: &str,
    cookie: &str,
) -> std::io::Result<String> {
    let mut parameters = Vec::new();
    for (name, value) in [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_FILENAME", script),
        ("SCRIPT_NAME", "/locks.php"),
        ("QUERY_STRING", query),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_COOKIE", cookie),
    ] {
        for length in [name.len(), value.len()] {
            let length = u32::try_from(length).expect("a short parameter");
            parameters.extend_from_slice(&(length | 1 << 31).to_be_bytes());
        }
        parameters.extend_from_slice(name.as_bytes());
        parameters.extend_from_slice(value.as_bytes());
    }
    let mut request = Vec::new();
    // A responder, and the connection is closed afterwards.
    record(BEGIN, &[0, 1, 0, 0, 0, 0, 0, 0], &mut request);
    record(PARAMS, &parameters, &mut request);
    record(PARAMS, &[], &mut request);
    record(STDIN, &[], &mut request);
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let mut said = Vec::new();
    let mut rest = answer.as_slice();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let padding = usize::from(head[6]);
        let Some(content) = after.get(..length) else { break };
        if head[1] == STDOUT || head[1] == STDERR {
            said.extend_from_slice(content);
        }
        rest = after.get(length + padding..).unwrap_or_default();
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

//! A visitor without a browser: one request per connection, every byte of it in the test's hands.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::between;

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The number on the basket in the page's head.
    pub(crate) fn in_basket(&self) -> u32 {
        assert_eq!(self.status, 200, "{}", self.body);
        between(&self.body, "holding </span>", "</span>").map_or(0, |n| n.parse().unwrap())
    }
}

/// Keeps the cookie it was given, and sends it back.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    address: String,
    /// `name=value`, as it will be sent.
    pub(crate) cookie: Option<String>,
    /// The token of the last page that had a form.
    pub(crate) token: String,
}

impl Visitor {
    pub(crate) fn of(address: &str) -> Self {
        Visitor { address: address.to_owned(), cookie: None, token: String::new() }
    }

    /// The same visitor, at another address.
    pub(crate) fn at(&self, address: &str) -> Self {
        Visitor { address: address.to_owned(), ..self.clone() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let answer = self.ask("GET", path, &[], "");
        if let Some(token) = between(&answer.body, "name=\"csrf_token\" value=\"", "\"") {
            self.token = token.to_owned();
        }
        answer
    }

    /// A form of the site itself, with the token of the last page.
    pub(crate) fn post(&mut self, path: &str, fields: &str) -> Answer {
        let token = format!("csrf_token={}&{fields}", self.token);
        self.ask("POST", path, &[("sec-fetch-site", "same-origin")], &token)
    }

    /// Adds to the basket; what it costs to have a session.
    pub(crate) fn add(&mut self, good: &str) -> Answer {
        self.post("/basket/add", &format!("good={good}"))
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.try_ask(method, path, headers, body).unwrap()
    }

    /// As `ask`; an error when the server went away.
    pub(crate) fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if method == "POST" {
            request.push_str(&format!(
                "content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        if let Some(cookie) = &self.cookie {
            request.push_str(&format!("cookie: {cookie}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("\r\n{body}"));

        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let answer = parse(&String::from_utf8_lossy(&bytes)).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        self.keep(&answer);
        Ok(answer)
    }

    fn keep(&mut self, answer: &Answer) {
        for cookie in answer.all("set-cookie") {
            let (pair, attributes) = cookie.split_once(';').unwrap();
            self.cookie = if attributes.contains("Max-Age=0") { None } else { Some(pair.to_owned()) };
        }
    }
}

/// `None` where the end is missing.
fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let answer = Answer { status, headers, body: body.to_owned() };
    match answer.header("content-length") {
        Some(length) => (body.len() == length.parse::<usize>().ok()?).then_some(answer),
        None => Some(answer),
    }
}

//! The address that the demo is reached at.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::Trouble;

/// The demo's own port; nothing well known lives there.
const PORT: u16 = 8808;

/// A bound listener, and what there is to say about it.
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) notes: Vec<String>,
}

/// Binds the address that was asked for, or the usual one, or, where that is taken, a free one.
pub(crate) async fn bind(asked: Option<SocketAddr>) -> Result<Bound, Trouble> {
    let mut notes = Vec::new();
    let listener = match asked {
        Some(address) => TcpListener::bind(address).await.map_err(|error| refused(address, &error))?,
        None => {
            let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
            match TcpListener::bind(usual).await {
                Ok(listener) => listener,
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    notes.push(format!("port {PORT} is taken, so this is another one"));
                    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                    TcpListener::bind(free).await.map_err(|error| refused(free, &error))?
                }
                Err(error) => return Err(refused(usual, &error)),
            }
        }
    };
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        notes.push(
            "other machines can reach it, and it does not speak TLS: their browsers will not keep its cookies unless \
             a proxy that does stands before it"
                .to_owned(),
        );
    }
    Ok(Bound { listener, address, notes })
}

fn refused(address: SocketAddr, error: &std::io::Error) -> Trouble {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "it is taken; choose another with --listen, 0 takes a free port",
        ErrorKind::PermissionDenied => {
            "ports below 1024 need rights of their own; choose another with --listen"
        }
        ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => return format!("cannot listen on {address}: {error}").into(),
    };
    format!("cannot listen on {address}: {advice}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_was_asked_for_and_is_taken_is_an_error_that_says_so() {
        let taken = bind(Some(SocketAddr::from(([127, 0, 0, 1], 0)))).await.unwrap();
        let text = bind(Some(taken.address)).await.err().unwrap().to_string();
        assert!(text.contains("is taken") && text.contains("--listen"), "{text}");
    }

    #[tokio::test]
    async fn the_usual_port_gives_way_to_a_free_one() {
        // Whoever holds the usual port, the second of the two cannot have it.
        let _first = bind(None).await.unwrap();
        let second = bind(None).await.unwrap();
        assert_ne!(second.address.port(), PORT);
        assert!(second.notes.iter().any(|note| note.contains("is taken")));
    }
}

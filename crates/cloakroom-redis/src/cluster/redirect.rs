//! What a node of a cluster answers instead of doing what it was asked: somebody else has to be asked, or later. Nothing was
//! done in any of these cases, so that also a write may be sent again.

use redis::{ServerError, Value};

use crate::host::HostPort;

/// Why a command was not done where it was sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Redirect {
    /// The slot is another node's, from now on.
    Moved(HostPort),
    /// This key is at another node already, while its slot is on the way there: this command only.
    Ask(HostPort),
    /// Not at present: some of the keys are on their way, or the cluster has no majority, or the node loads its data.
    Later,
    /// The node was made a replica.
    Demoted,
}

impl Redirect {
    /// Of what a node at `asked` answered; `None` where that is no redirection.
    ///
    /// # Errors
    /// A redirection that leads nowhere.
    pub(crate) fn of(told: &ServerError, asked: &HostPort) -> Result<Option<Self>, NoPlace> {
        let place = || HostPort::of_redirection(told.details().unwrap_or_default(), asked).ok_or(NoPlace);
        Ok(Some(match told.code() {
            "MOVED" => Redirect::Moved(place()?),
            "ASK" => Redirect::Ask(place()?),
            "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" => Redirect::Later,
            "READONLY" => Redirect::Demoted,
            _ => return Ok(None),
        }))
    }

    /// The same of one answer, or of the first among several that redirects.
    pub(crate) fn among(answer: &Value, asked: &HostPort) -> Result<Option<Self>, NoPlace> {
        match answer {
            Value::ServerError(told) => Self::of(told, asked),
            Value::Array(answers) => {
                for answer in answers {
                    if let Value::ServerError(told) = answer
                        && let Some(redirect) = Self::of(told, asked)?
                    {
                        return Ok(Some(redirect));
                    }
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// A redirection whose target cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoPlace;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis::parse_redis_value;

    use super::*;

    fn told(line: &str) -> Value {
        parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn redirect(line: &str) -> Result<Option<Redirect>, NoPlace> {
        Redirect::among(&told(line), &HostPort::new("here", 7000))
    }

    #[test]
    fn redirections_lead_where_they_say() {
        let to = |host: &str, port| HostPort::new(host, port);
        assert_eq!(redirect("MOVED 3999 127.0.0.1:6381"), Ok(Some(Redirect::Moved(to("127.0.0.1", 6381)))));
        assert_eq!(redirect("ASK 3999 db-3.example:6381"), Ok(Some(Redirect::Ask(to("db-3.example", 6381)))));
        // RFC 3986 would have brackets here; Redis has none.
        assert_eq!(redirect("MOVED 0 fe80::1:6381"), Ok(Some(Redirect::Moved(to("fe80::1", 6381)))));
        // A node that does not know by which name it is known: the same host.
        assert_eq!(redirect("MOVED 1 :6381"), Ok(Some(Redirect::Moved(to("here", 6381)))));
    }

    #[test]
    fn what_may_come_later_is_told_from_what_will_not() {
        for line in
            ["TRYAGAIN Multiple keys request during rehashing of slot", "CLUSTERDOWN The cluster is down"]
        {
            assert_eq!(redirect(line), Ok(Some(Redirect::Later)), "{line}");
        }
        assert_eq!(redirect("LOADING Redis is loading"), Ok(Some(Redirect::Later)));
        assert_eq!(redirect("READONLY You can't write"), Ok(Some(Redirect::Demoted)));
        for line in ["OOM", "NOPERM no", "CROSSSLOT no", "ERR MOVED 1 a:1", "NOSCRIPT x"] {
            assert_eq!(redirect(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn a_redirection_to_nowhere_is_an_error() {
        for line in [
            "MOVED",
            "MOVED 1",
            "MOVED 1 ",
            "MOVED 1 a",
            "MOVED 1 a:",
            "MOVED 1 a:0",
            "MOVED 1 a:65536",
            "MOVED 1 ?:1",
            "MOVED 16384 a:1",
            "MOVED -1 a:1",
            "MOVED x a:1",
            "ASK 1 a:b",
            "ASK 1 a:1 b:1",
            "MOVED 1 a\tb:1",
        ] {
            assert_eq!(redirect(line), Err(NoPlace), "{line}");
        }
    }

    #[test]
    fn of_several_answers_the_first_that_redirects_counts() {
        let answers = vec![Value::Okay, told("OOM x"), told("MOVED 1 a:1"), told("ASK 1 b:1")];
        let redirect = Redirect::among(&Value::Array(answers), &HostPort::new("here", 1));
        assert_eq!(redirect, Ok(Some(Redirect::Moved(HostPort::new("a", 1)))));
        assert_eq!(Redirect::among(&Value::Array(vec![Value::Okay]), &HostPort::new("here", 1)), Ok(None));
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_is_read_or_refused(line in "(MOVED|ASK) [^\r\n]{0,300}") {
            if let Ok(Some(Redirect::Moved(place) | Redirect::Ask(place))) = redirect(&line) {
                prop_assert!(!place.host.is_empty() && place.port > 0);
            }
        }
    }
}

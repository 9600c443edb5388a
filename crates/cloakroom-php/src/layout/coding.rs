//! How a layout has a session's variables as bytes.

use std::borrow::Cow;

use cloakroom::clock::Timestamp;

use super::bags;
#[cfg(feature = "amp")]
use crate::Amp;
use crate::{DecodeError, EncodeError, Format, Key, Session, Value, Variables};

/// What `serialize()` would give for a variable alone; or why that cannot be told.
type Text<'s> = Result<Cow<'s, [u8]>, EncodeError>;

/// A form, and what it is compressed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) form: Form,
    pub(super) packing: Packing,
}

/// Who compresses what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Nobody.
    Never,
    /// phpredis' session handler would, and `redis.session.compression` does not say so.
    NotSet,
    /// phpredis' session handler, by this.
    #[cfg(feature = "compression")]
    By(crate::Compression),
}

/// A format, and what is around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One of `session.serialize_handler`.
    Handler(Format),
    /// `igbinary_serialize()` or `serialize()` of the array.
    Alone(Format),
    /// What amphp's compressing serializer makes of it. A session without variables is not stored, and no bytes here.
    #[cfg(feature = "amp")]
    Amp,
    /// One of these, and the application's variables in a bag of Symfony's.
    Bags(Format),
    /// Laravel's envelope.
    #[cfg(feature = "laravel")]
    Laravel(crate::Laravel),
}

impl Coding {
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Session, DecodeError> {
        self.form.decode(self.unpacked(bytes)?)
    }

    pub(super) fn encode(&self, session: &Session) -> Result<Vec<u8>, EncodeError> {
        self.packed(self.form.encode(session)?)
    }

    /// The application's variables in a payload, built no further than is needed for that.
    pub(super) fn read(&self, bytes: &[u8], take: impl FnMut(Key<'_>, Text<'_>)) -> Result<(), DecodeError> {
        self.form.read(self.unpacked(bytes)?, take)
    }

    /// What was decompressed is handed on as it is, not copied: the session's limits count it, so that both steps have one budget.
    fn unpacked<'b>(&self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, DecodeError> {
        match self.packing {
            Packing::Never | Packing::NotSet => Ok(Cow::Borrowed(bytes)),
            #[cfg(feature = "compression")]
            Packing::By(by) => by.decompress(bytes, crate::Limits::default()),
        }
    }

    fn packed(&self, bytes: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
        match self.packing {
            Packing::Never | Packing::NotSet => Ok(bytes),
            #[cfg(feature = "compression")]
            Packing::By(by) => by.compress(&bytes),
        }
    }
}

/// As it is, by nobody compressed.
impl From<Form> for Coding {
    fn from(form: Form) -> Self {
        Coding { form, packing: Packing::Never }
    }
}

impl Form {
    pub(super) fn decode(&self, bytes: Cow<'_, [u8]>) -> Result<Session, DecodeError> {
        match self {
            Form::Handler(format) | Form::Bags(format) => Session::decode(*format, bytes),
            Form::Alone(format) => Session::decode_alone(*format, bytes),
            #[cfg(feature = "amp")]
            Form::Amp if bytes.is_empty() => Ok(self.empty()),
            #[cfg(feature = "amp")]
            Form::Amp => Amp.decode(&bytes),
            #[cfg(feature = "laravel")]
            Form::Laravel(laravel) => laravel.decode(&bytes),
        }
    }

    pub(super) fn encode(&self, session: &Session) -> Result<Vec<u8>, EncodeError> {
        match self {
            Form::Handler(_) | Form::Alone(_) | Form::Bags(_) => session.encode(),
            #[cfg(feature = "amp")]
            Form::Amp if session.is_empty() => Ok(Vec::new()),
            #[cfg(feature = "amp")]
            Form::Amp => Amp.encode(session),
            #[cfg(feature = "laravel")]
            Form::Laravel(laravel) => laravel.encode(session),
        }
    }

    /// A session without variables.
    pub(super) fn empty(&self) -> Session {
        match self {
            Form::Handler(format) | Form::Alone(format) | Form::Bags(format) => Session::new(*format),
            #[cfg(feature = "amp")]
            Form::Amp => Session::new(Format::PhpSerialize),
            #[cfg(feature = "laravel")]
            Form::Laravel(_) => Session::new(Format::PhpSerialize),
        }
    }

    /// Whether a session without variables has a value of its own.
    pub(super) fn stores_empty(&self) -> bool {
        match self {
            Form::Handler(_) | Form::Alone(_) | Form::Bags(_) => true,
            #[cfg(feature = "laravel")]
            Form::Laravel(_) => true,
            #[cfg(feature = "amp")]
            Form::Amp => false,
        }
    }

    /// The application's variables in a session, in their order.
    pub(super) fn texts<'s>(
        &self,
        session: &'s Session,
    ) -> Box<dyn Iterator<Item = (Key<'s>, Text<'s>)> + 's> {
        match self {
            Form::Bags(_) => {
                let text = |value: Value<'_>| value.to_serialized().map(Cow::Owned);
                Box::new(bags::attributes(session).map(move |(key, value)| (key, text(value))))
            }
            _ => Box::new(session.serialized()),
        }
    }

    /// The same of a payload, built no further than is needed for that.
    pub(super) fn read(
        &self,
        bytes: Cow<'_, [u8]>,
        mut take: impl FnMut(Key<'_>, Text<'_>),
    ) -> Result<(), DecodeError> {
        if let Form::Handler(format) = self
            && let Some(variables) = Variables::as_they_stand(*format, &bytes)
        {
            variables.iter().for_each(|(key, text)| take(key, text));
        } else {
            self.texts(&self.decode(bytes)?).for_each(|(key, text)| take(key, text));
        }
        Ok(())
    }

    pub(super) fn set(
        &self,
        session: &mut Session,
        name: &str,
        value: &Value<'_>,
    ) -> Result<(), EncodeError> {
        match self {
            Form::Bags(_) => bags::set(session, name, value),
            _ => session.set(name, value),
        }
    }

    pub(super) fn remove(&self, session: &mut Session, name: &str) -> Result<(), EncodeError> {
        match self {
            Form::Bags(_) => bags::remove(session, name),
            _ => session.remove(name).map(|_| ()),
        }
    }

    /// What the application does to a session before it stores it.
    pub(super) fn close(&self, session: &mut Session, now: Timestamp) -> Result<(), EncodeError> {
        match self {
            Form::Bags(_) => bags::close(session, now),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_alone_is_read_and_nothing_behind_it_or_instead_of_it() {
        let igbinary = Form::Alone(Format::Igbinary);
        let empty = igbinary.encode(&igbinary.empty()).unwrap();
        assert_eq!(empty, b"\0\0\0\x02\x14\0");
        assert!(igbinary.decode(empty.as_slice().into()).unwrap().is_empty());
        let text = Form::Alone(Format::PhpSerialize);
        assert_eq!(text.decode(b"a:1:{s:1:\"n\";i:1;}"[..].into()).unwrap().len(), 1);
        for (coding, whole) in [(&igbinary, empty.as_slice()), (&text, b"a:0:{}")] {
            assert!(coding.decode(b""[..].into()).is_err());
            assert!(coding.decode([whole, b"x"].concat().into()).is_err());
        }
    }

    #[cfg(feature = "amp")]
    #[test]
    fn amphp_stores_no_session_without_variables() {
        assert!(Form::Amp.encode(&Form::Amp.empty()).unwrap().is_empty());
        assert!(Form::Amp.decode(b""[..].into()).unwrap().is_empty());
        assert!(!Form::Amp.stores_empty() && Form::Handler(Format::Php).stores_empty());
    }

    #[cfg(feature = "compression")]
    #[test]
    fn decompressing_and_decoding_have_one_budget() {
        let packed = |by, plain: &[u8]| {
            let coding = Coding { form: Form::Handler(Format::Php), packing: Packing::By(by) };
            let stored = by.compress(plain).unwrap();
            let read = coding.read(&stored, |_, _| {});
            let decoded = coding.decode(&stored).map(drop);
            assert_eq!(read, decoded);
            decoded.map_err(|error| error.kind().clone())
        };
        let long = [b"text|s:41943040:\"", vec![b'a'; 40 << 20].as_slice(), b"\";"].concat();
        let many =
            format!("many|a:200000:{{{}}}", (0..200_000).map(|n| format!("i:{n};N;")).collect::<String>());
        for by in crate::Compression::ALL {
            assert_eq!(packed(by, &long), Ok(()), "{by}");
            assert_eq!(packed(by, many.as_bytes()), Ok(()), "{by}");
            let both = [long.as_slice(), many.as_bytes()].concat();
            assert_eq!(packed(by, &both), Err(crate::DecodeErrorKind::Memory(64 << 20)), "{by}");
        }
    }

    #[cfg(feature = "compression")]
    #[test]
    fn what_is_nested_deep_in_a_bag_or_compressed_takes_no_stack() {
        let check = || {
            let (open, close) = ("a:1:{i:0;".repeat(200_000), "}".repeat(200_000));
            let payload = format!("_sf2_attributes|a:1:{{s:1:\"a\";{open}i:1;{close}}}");
            for form in [Form::Bags(Format::Php), Form::Handler(Format::Php)] {
                for by in crate::Compression::ALL {
                    let coding = Coding { form: form.clone(), packing: Packing::By(by) };
                    let stored = by.compress(payload.as_bytes()).unwrap();
                    for read in [coding.read(&stored, |_, _| {}), coding.decode(&stored).map(drop)] {
                        assert_eq!(read.unwrap_err().kind(), &crate::DecodeErrorKind::Depth(4096));
                    }
                }
            }
        };
        std::thread::Builder::new().stack_size(256 << 10).spawn(check).unwrap().join().unwrap();
    }
}

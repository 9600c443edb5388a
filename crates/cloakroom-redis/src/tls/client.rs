//! The client's side of TLS, by `rustls`.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redis::RedisError;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, crypto};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::TlsError;
use crate::redis_url::TlsFiles;
use crate::route::Stream;

/// Whom to trust, and what to show.
pub(crate) struct Tls(TlsConnector);

impl Tls {
    /// Reads the files.
    pub(crate) fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        // Named here and not taken from the process: what the application chose for itself, or failed to, is no matter.
        let provider = Arc::new(crypto::ring::default_provider());
        let trusting = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            // Not with this provider: it has what each version needs.
            .map_err(|_| TlsError::NotBuilt)?
            .with_root_certificates(authorities(files.ca.as_deref())?);
        let config = match (&files.certificate, &files.key) {
            (None, None) => trusting.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let private = private_key(key)?;
                let refused = || wrong(key, "has no key that belongs to the certificate beside it");
                trusting.with_client_auth_cert(chain, private).map_err(|_| refused())?
            }
            _ => return Err(TlsError::HalfAnIdentity),
        };
        Ok(Tls(Arc::new(config).into()))
    }

    /// A handshake with the server of this name.
    pub(crate) async fn over(&self, stream: TcpStream, host: &str) -> Result<Box<dyn Stream>, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "has a name that no certificate can be for: TLS needs a host name or an address")?;
        match self.0.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(of_io(&error).unwrap_or(NO_HANDSHAKE).to_owned()),
        }
    }
}

/// Of a file, or the operating system's.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|_| wrong(file, "holds a certificate that cannot be read"))?;
        }
        return Ok(roots);
    }
    // One that is damaged or of an unknown kind is no reason to do without the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(file, &error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unreadable(file, &error))?;
    match read.is_empty() {
        true => Err(wrong(file, "holds no certificate: PEM is expected (-----BEGIN CERTIFICATE-----)")),
        false => Ok(read),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            wrong(file, "holds no private key that can be read: PEM without a password is expected")
        }
        error => unreadable(file, &error),
    })
}

fn wrong(path: &Path, why: &str) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_owned() }
}

/// The library's own words may repeat a line of the file.
fn unreadable(path: &Path, error: &pem::Error) -> TlsError {
    match error {
        pem::Error::Io(error) => wrong(path, &format!("cannot be read: {error}")),
        _ => wrong(path, "is no PEM file, or a damaged one"),
    }
}

const NO_HANDSHAKE: &str = "ended the TLS handshake: does it speak TLS on that port?";

/// What TLS has against a connection, if that is what an error is about.
pub(crate) fn refused(error: &RedisError) -> Option<&'static str> {
    // In its own box, behind which the sources go on below what is looked for.
    let boxed: &Arc<dyn Error + Send + Sync> = error.source()?.downcast_ref()?;
    of_io(boxed.downcast_ref()?)
}

fn of_io(error: &io::Error) -> Option<&'static str> {
    error.get_ref()?.downcast_ref::<rustls::Error>().map(explain)
}

/// The end of a sentence about the server, with what to do.
fn explain(error: &rustls::Error) -> &'static str {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "has a certificate of an authority that is not trusted here: name the file with that authority's (ca)"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "has a certificate for another name: call it by a name or address that is in its certificate"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "has a certificate that has expired: renew it (or set this machine's clock)"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "has a certificate that is not valid yet: set this machine's clock (or renew it)"
            }
            _ => {
                "has a certificate that does not verify: give it one for servers, of an authority trusted here"
            }
        },
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            "asks for a client certificate: name the files with one and with its key (certificate, key)"
        }
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        ) => {
            "does not accept the client certificate: give one of an authority that it trusts (certificate, key)"
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            "has no version of TLS in common with this program: TLS 1.2 or 1.3 is needed"
        }
        _ => NO_HANDSHAKE,
    }
}

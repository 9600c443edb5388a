//! Authorities and certificates, made for a test.
#![allow(dead_code)] // Not every test needs all of them.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// An authority, and the folder with its certificate and all that it signed.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// Files in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = named("The test's own authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { folder, issuer: Issuer::new(params, key) }
    }

    /// The file with its certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a server of these names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.sign(
            "server",
            CertificateParams::new(owned(names)).unwrap(),
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A certificate for a node of a cluster: nodes are one another's servers and clients.
    pub(crate) fn node(&self, names: &[&str]) -> Identity {
        let params = CertificateParams::new(owned(names)).unwrap();
        self.sign_for(
            "node",
            params,
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        )
    }

    /// One whose time is over.
    pub(crate) fn expired_server(&self, names: &[&str]) -> Identity {
        let mut params = CertificateParams::new(owned(names)).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign("expired", params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(crate) fn client(&self) -> Identity {
        self.sign("client", named("a client"), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Identity {
        self.sign_for(name, params, vec![purpose])
    }

    fn sign_for(
        &self,
        name: &str,
        mut params: CertificateParams,
        purposes: Vec<ExtendedKeyUsagePurpose>,
    ) -> Identity {
        params.extended_key_usages = purposes;
        let pair = KeyPair::generate().unwrap();
        let signed = params.signed_by(&pair, &self.issuer).unwrap();
        let file = |ending: &str| self.folder.path().join(format!("{name}.{ending}.pem"));
        let identity = Identity { certificate: file("certificate"), key: file("key") };
        std::fs::write(&identity.certificate, signed.pem()).unwrap();
        std::fs::write(&identity.key, pair.serialize_pem()).unwrap();
        identity
    }
}

impl Identity {
    /// What a server is told on its command line to serve with this certificate, and to ask clients for one or not.
    pub(crate) fn options<'o>(&'o self, clients: &'o Path, ask: &'o str) -> [&'o str; 8] {
        let (certificate, key) = (self.certificate.to_str().unwrap(), self.key.to_str().unwrap());
        let clients = clients.to_str().unwrap();
        [
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
            "--tls-ca-cert-file",
            clients,
            "--tls-auth-clients",
            ask,
        ]
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

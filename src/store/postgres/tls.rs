//! TLS as libpq's `sslmode` means it, by rustls.

use std::{fs::File, io::BufReader, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::{PostgresOptions, Tls};
use crate::store::StoreError;

/// What connections are made with. Whether TLS is used at all, the connection's own settings decide.
pub(super) fn connector(options: &PostgresOptions) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(options, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Unusable(format!("TLS can't be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(options: &PostgresOptions, provider: &Arc<CryptoProvider>) -> Result<Verifier, StoreError> {
    let how = match (options.tls, &options.root_cert) {
        (Tls::VerifyFull, _) => How::Full,
        (Tls::VerifyCa, _) | (Tls::Require, Some(_)) => How::Authority,
        _ => How::Not,
    };
    let roots = match (how, &options.root_cert) {
        (How::Not, _) => None,
        (_, Some(path)) => Some(read_roots(path)?),
        (_, None) => Some(system_roots()?),
    };
    let build = |roots| WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let chain = roots.map(build).transpose();
    let chain = chain.map_err(|error| StoreError::Unusable(format!("sslrootcert: the roots can't be used: {error}")))?;
    Ok(Verifier { how, chain, provider: Arc::clone(provider) })
}

fn read_roots(path: &Path) -> Result<RootCertStore, StoreError> {
    let unusable = |why: String| StoreError::Unusable(format!("sslrootcert: {} {why}", path.display()));
    let file = File::open(path).map_err(|error| unusable(format!("can't be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_reader_iter(BufReader::new(file)) {
        let cert = cert.map_err(|error| unusable(format!("holds something else than PEM certificates: {error}")))?;
        roots.add(cert).map_err(|error| unusable(format!("holds a certificate that can't be used: {error}")))?;
    }
    if roots.is_empty() { Err(unusable("holds no certificate".to_owned())) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(StoreError::Unusable(
            "sslmode asks for a certificate to be verified, and this system has no roots: name a file by sslrootcert".to_owned(),
        ));
    }
    Ok(roots)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Any certificate will do: the line is encrypted, its other end is believed.
    Not,
    /// A root stands for it, whatever its name.
    Authority,
    /// A root stands for it, and it has the host's name.
    Full,
}

#[derive(Debug)]
struct Verifier {
    how: How,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))
                if self.how == How::Authority =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

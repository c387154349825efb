//! What to do where TLS fails.

use std::{error::Error, io};

use rustls::CertificateError;

use super::BoxError;

/// What `https` fails with where there is nothing to verify a certificate by.
pub(super) fn untrusting(error: &rustls::Error) -> String {
    format!(
        "the root certificates of this machine could not be read when the service started \
         ({error}): install them (the package `ca-certificates` of most Linux distributions and \
         images), or name a file of them in SSL_CERT_FILE"
    )
}

/// Adds to an error what to do about it, where that is known.
pub(super) fn explain(error: BoxError) -> BoxError {
    let Some(tls) = of_tls(&*error) else {
        return error;
    };
    let advice = match tls {
        rustls::Error::InvalidCertificate(wrong) => advice(wrong),
        _ => None,
    };
    let Some(advice) = advice else {
        return error;
    };
    let (mut text, cause) = (error.to_string(), tls.to_string());
    if !text.ends_with(&cause) {
        text = format!("{text}: {cause}");
    }
    io::Error::other(format!("{text}: {advice}")).into()
}

fn advice(wrong: &CertificateError) -> Option<&'static str> {
    match wrong {
        CertificateError::UnknownIssuer => Some(
            "no root certificate that this machine trusts vouches for the server; if it is \
             right, add the certificate of its CA to those of the system, or name a file of all \
             that are trusted in SSL_CERT_FILE",
        ),
        // The error of webpki, which rustls has no variant for.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Some(
            "the server shows the certificate of a CA (`CA:TRUE`), which is none of a server; \
             give the server one that this CA has signed, or a self-signed one with `CA:FALSE` \
             (`openssl req -x509 -addext basicConstraints=critical,CA:FALSE`)",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("renew it, or set the clock of this machine right")
        }
        _ => None,
    }
}

/// The error of TLS in a chain of errors.
fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        next = match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
            // Its `source` is that of the error in it, which would be passed over.
            Some(Some(inner)) => Some(inner),
            _ => error.source(),
        };
    }
    None
}

//! Until when a certificate is good.
//! In: a certificate, DER. Out: the two times that it states.
//! Implements RFC 5280 §4.1.2.5.
//! Never judges anything else about it: that is for those who connect.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::x509::X509;

use super::CryptoError;
use crate::domain::time::Timestamp;

/// From when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: Timestamp,
    /// The last one.
    pub until: Timestamp,
}

/// Reads a certificate's times.
///
/// # Errors
/// `Key` where it is no certificate.
pub fn validity(der: &[u8]) -> Result<Validity, CryptoError> {
    let certificate = X509::from_der(der).map_err(CryptoError::key)?;
    Ok(Validity { from: time(certificate.not_before())?, until: time(certificate.not_after())? })
}

fn time(stated: &Asn1TimeRef) -> Result<Timestamp, CryptoError> {
    let epoch = Asn1Time::from_unix(0).map_err(CryptoError::key)?;
    let since = epoch.diff(stated).map_err(CryptoError::key)?;
    Ok(Timestamp::from_seconds(i64::from(since.days) * 86_400 + i64::from(since.secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_those_that_were_put_in() {
        let mut wanted = rcgen::CertificateParams::new(["sign.example.com".to_owned()]).unwrap();
        wanted.not_before = rcgen::date_time_ymd(2025, 3, 1);
        wanted.not_after = rcgen::date_time_ymd(2061, 12, 31);
        let made = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let stated = Validity { from: at("2025-03-01T00:00:00.000Z"), until: at("2061-12-31T00:00:00.000Z") };
        assert_eq!(validity(made.der()), Ok(stated));
        assert!(validity(b"no certificate").is_err());
    }
}

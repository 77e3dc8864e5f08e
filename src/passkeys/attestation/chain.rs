//! Chains of certificates: from a statement's signer up to a root that is trusted.
//! In: certificates, roots, the time of the registration. Out: the root that the chain ends in.
//! Implements RFC 5280 §6, by OpenSSL; a certificate that is itself listed as a root counts as one.
//! Never reads the system's own roots, and never the present time.

use std::collections::BTreeSet;

use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509StoreContext};

use crate::domain::time::Timestamp;

/// A chain that holds.
pub(in crate::passkeys) struct Path {
    /// The root, DER.
    pub anchor: Vec<u8>,
    /// Serial numbers of all certificates but the root, lower-case hex without leading zeros.
    pub serials: Vec<String>,
}

/// The trusted end of a chain, or why there is none.
pub(in crate::passkeys) fn anchor(
    certificates: &[Vec<u8>],
    roots: &BTreeSet<Vec<u8>>,
    at: Timestamp,
) -> Result<Path, String> {
    match chain(certificates, roots, at) {
        Ok(found) => found,
        Err(_) => Err("its chain of certificates cannot be read".to_owned()),
    }
}

fn chain(
    certificates: &[Vec<u8>],
    roots: &BTreeSet<Vec<u8>>,
    at: Timestamp,
) -> Result<Result<Path, String>, openssl::error::ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    let mut time = X509VerifyParam::new()?;
    time.set_time(at.seconds());
    time.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    store.set_param(&time)?;
    // A root that cannot be read is none; the others still are.
    for root in roots.iter().filter_map(|root| X509::from_der(root).ok()) {
        store.add_cert(root)?;
    }
    let store = store.build();
    let mut between = Stack::new()?;
    let Some((leaf, rest)) = certificates.split_first() else { return Ok(Err("it has no certificate".to_owned())) };
    for certificate in rest {
        between.push(X509::from_der(certificate)?)?;
    }
    let mut context = X509StoreContext::new()?;
    let leaf = X509::from_der(leaf)?;
    context.init(&store, &leaf, &between, |context| {
        if !context.verify_cert()? {
            return Ok(Err(format!("its chain does not hold: {}", context.error().error_string())));
        }
        let chain: Vec<_> = context.chain().into_iter().flatten().collect();
        let Some((anchor, below)) = chain.split_last() else { return Ok(Err("its chain is empty".to_owned())) };
        let serial = |certificate: &&openssl::x509::X509Ref| -> Result<String, openssl::error::ErrorStack> {
            let number = certificate.serial_number().to_bn()?.to_hex_str()?.to_ascii_lowercase();
            Ok(number.trim_start_matches('0').to_owned())
        };
        let serials = below.iter().map(serial).collect::<Result<_, _>>()?;
        Ok(Ok(Path { anchor: anchor.to_der()?, serials }))
    })
}

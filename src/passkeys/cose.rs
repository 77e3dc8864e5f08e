//! Public keys of passkeys.
//! In: a `COSE_Key`. Out: a key that verifies signatures.
//! Implements RFC 9053 §2.1, RFC 8812 §2 and WebAuthn L3 §5.8.5, §6.5.1.1 for the algorithms that we offer.
//! Never takes a second spelling of a key: equal keys have equal bytes, so their digest counts people's keys.

use std::collections::BTreeMap;

use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Rsa;
use serde_cbor_2::Value;
use webauthn_rs_core::error::WebauthnError;
use webauthn_rs_core::proto::{COSEAlgorithm, COSEKey, COSEKeyType, ECDSACurve};

use super::cbor;
use super::error::PasskeyError;

/// The algorithms that we offer and take, best first: ES256, ES384, RS256 (IANA COSE registry).
pub const ALGORITHMS: [i64; 3] = [-7, -35, -257];
/// Longest signature, in bytes.
pub const MAX_SIGNATURE: usize = 1024;

/// The one public exponent that we take: a small one would let anybody make signatures for the key.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// A public key that the policy admits.
#[derive(Debug)]
pub struct PublicKey(COSEKey);

impl PublicKey {
    /// Reads the canonical `COSE_Key` of an algorithm that we offer.
    pub fn parse(bytes: &[u8]) -> Result<Self, PasskeyError> {
        const BAD: PasskeyError = PasskeyError::Malformed("public key");
        if !cbor::is_one_item(bytes) {
            return Err(BAD);
        }
        let value: Value = serde_cbor_2::from_slice(bytes).map_err(|_| BAD)?;
        let Value::Map(members) = &value else { return Err(BAD) };
        let Some(Value::Integer(algorithm)) = members.get(&Value::Integer(3)) else { return Err(BAD) };
        if !ALGORITHMS.iter().any(|offered| i128::from(*offered) == *algorithm) {
            return Err(PasskeyError::PolicyNotMet(format!("its algorithm {algorithm} was not offered")));
        }
        let key = COSEKey::try_from(&value).map_err(|error| match error {
            WebauthnError::COSEKeyRSANEInvalid => {
                PasskeyError::PolicyNotMet("its RSA key has not 2,048 bits".to_owned())
            }
            _ => BAD,
        })?;
        let canonical = serde_cbor_2::to_vec(&members_of(&key)?).map_err(|_| BAD)?;
        if canonical != bytes {
            return Err(PasskeyError::Malformed("the public key is not in its canonical form"));
        }
        Ok(Self(key))
    }

    /// The algorithm, as COSE numbers it.
    pub fn algorithm(&self) -> i64 {
        match self.0.type_ {
            COSEAlgorithm::ES384 => -35,
            COSEAlgorithm::RS256 => -257,
            _ => -7,
        }
    }

    /// Whether it is the key that a certificate or a TPM names.
    pub fn is(&self, other: &PKey<Public>) -> bool {
        let own = match &self.0.key {
            COSEKeyType::EC_EC2(point) => ec_key(&point.x, &point.y),
            COSEKeyType::RSA(rsa) => rsa_key(&rsa.n, &rsa.e),
            COSEKeyType::EC_OKP(_) => None,
        };
        own.is_some_and(|own| own.public_eq(other))
    }

    /// Whether the signature over `signed` is this key's.
    pub fn verify(&self, signature: &[u8], signed: &[u8]) -> bool {
        signature.len() <= MAX_SIGNATURE && matches!(self.0.verify_signature(signature, signed), Ok(true))
    }
}

/// A point of P-256 or P-384 as a key.
pub fn ec_key(x: &[u8], y: &[u8]) -> Option<PKey<Public>> {
    let curve = match (x.len(), y.len()) {
        (32, 32) => Nid::X9_62_PRIME256V1,
        (48, 48) => Nid::SECP384R1,
        _ => return None,
    };
    let group = EcGroup::from_curve_name(curve).ok()?;
    let (x, y) = (BigNum::from_slice(x).ok()?, BigNum::from_slice(y).ok()?);
    PKey::from_ec_key(EcKey::from_public_key_affine_coordinates(&group, &x, &y).ok()?).ok()
}

/// A modulus and an exponent as a key.
pub fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Option<PKey<Public>> {
    let (n, e) = (BigNum::from_slice(modulus).ok()?, BigNum::from_slice(exponent).ok()?);
    PKey::from_rsa(Rsa::from_public_components(n, e).ok()?).ok()
}

/// The members that a key of its kind has, and no others.
fn members_of(key: &COSEKey) -> Result<BTreeMap<Value, Value>, PasskeyError> {
    let members = match (key.type_, &key.key) {
        (COSEAlgorithm::ES256, COSEKeyType::EC_EC2(point)) if point.curve == ECDSACurve::SECP256R1 => {
            vec![
                (1, 2.into()),
                (3, (-7).into()),
                (-1, 1.into()),
                (-2, point.x.clone().into()),
                (-3, point.y.clone().into()),
            ]
        }
        (COSEAlgorithm::ES384, COSEKeyType::EC_EC2(point)) if point.curve == ECDSACurve::SECP384R1 => {
            vec![
                (1, 2.into()),
                (3, (-35).into()),
                (-1, 2.into()),
                (-2, point.x.clone().into()),
                (-3, point.y.clone().into()),
            ]
        }
        (COSEAlgorithm::RS256, COSEKeyType::RSA(rsa)) if rsa.e == RSA_EXPONENT => {
            vec![(1, 3.into()), (3, (-257).into()), (-1, rsa.n.clone().into()), (-2, rsa.e.to_vec().into())]
        }
        _ => return Err(PasskeyError::PolicyNotMet("its key does not fit its algorithm".to_owned())),
    };
    Ok(members.into_iter().map(|(label, value): (i32, Value)| (label.into(), value)).collect())
}

#[cfg(test)]
mod tests;

//! A maker of authenticators for tests: its own CA, batch certificates, and what FIDO would publish of its models.
//! In: what a certificate or a model says. Out: statements and blobs, signed with keys made here.
//! Implements the maker's side of WebAuthn L3 §8.2, §8.3 and §8.4, FIDO's side of Metadata Service 3.
//! Never holds a key that anything but a test trusts.

#![allow(dead_code, reason = "unit and integration tests each use their own part of this")]

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Extension, X509Name, X509NameBuilder, X509NameRef};
use serde_cbor_2::Value as Cbor;
use serde_json::{Value, json};

/// 2040-01-01, and a day in 2020: certificates are good between them.
const UNTIL: i64 = 2_208_988_800;
const SINCE: i64 = 1_580_000_000;

/// What a certificate of a batch says.
#[derive(Clone)]
pub struct Leaf {
    pub unit: &'static str,
    pub organization: &'static str,
    pub common_name: &'static str,
    pub country: &'static str,
    /// The model in its extension.
    pub aaguid: Option<[u8; 16]>,
    /// It may sign others; `None`: it does not say.
    pub ca: Option<bool>,
    /// A further extension, by its id.
    pub foreign: Option<&'static str>,
    pub since: i64,
    pub until: i64,
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            unit: "Authenticator Attestation",
            organization: "Keys Inc.",
            common_name: "Keys Inc. batch 1",
            country: "SE",
            aaguid: None,
            ca: Some(false),
            foreign: None,
            since: SINCE,
            until: UNTIL,
        }
    }
}

/// A maker.
pub struct Maker {
    root_key: PKey<Private>,
    pub root: X509,
    leaf_key: PKey<Private>,
    pub leaf: X509,
}

fn ec() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub fn rsa() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn name(parts: &[(&str, &str)]) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    for (attribute, value) in parts {
        name.append_entry_by_text(attribute, value).unwrap();
    }
    name.build()
}

fn builder(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    (since, until): (i64, i64),
) -> X509Builder {
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, openssl::bn::MsbOption::ONE, false).unwrap();
    certificate.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    certificate.set_subject_name(subject).unwrap();
    certificate.set_issuer_name(issuer).unwrap();
    certificate.set_pubkey(key).unwrap();
    certificate.set_not_before(&Asn1Time::from_unix(since).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::from_unix(until).unwrap()).unwrap();
    certificate
}

/// An extension, by its DER.
fn raw(dotted: &str, der: &[u8]) -> X509Extension {
    let value = Asn1OctetString::new_from_bytes(der).unwrap();
    X509Extension::new_from_der(&Asn1Object::from_str(dotted).unwrap(), false, &value).unwrap()
}

fn authority(common_name: &str, key: &PKey<Private>) -> X509 {
    let subject = name(&[("O", "Keys Inc."), ("CN", common_name)]);
    let mut certificate = builder(&subject, &subject, key, (SINCE, UNTIL));
    certificate.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    certificate.append_extension(KeyUsage::new().critical().key_cert_sign().build().unwrap()).unwrap();
    certificate.sign(key, MessageDigest::sha256()).unwrap();
    certificate.build()
}

impl Maker {
    /// A maker whose batch certificate says this.
    pub fn new(leaf: &Leaf) -> Self {
        let (root_key, leaf_key) = (ec(), ec());
        let root = authority("Keys Inc. root", &root_key);
        let subject =
            name(&[("C", leaf.country), ("O", leaf.organization), ("OU", leaf.unit), ("CN", leaf.common_name)]);
        let mut certificate = builder(&subject, root.subject_name(), &leaf_key, (leaf.since, leaf.until));
        if let Some(ca) = leaf.ca {
            let mut constraints = BasicConstraints::new();
            if ca {
                constraints.ca();
            }
            certificate.append_extension(constraints.critical().build().unwrap()).unwrap();
        }
        if let Some(foreign) = leaf.foreign {
            certificate.append_extension(raw(foreign, &[0x30, 0x00])).unwrap();
        }
        if let Some(aaguid) = leaf.aaguid {
            let value = [&[0x04, 0x10][..], &aaguid].concat();
            certificate.append_extension(raw("1.3.6.1.4.1.45724.1.1.4", &value)).unwrap();
        }
        certificate.sign(&root_key, MessageDigest::sha256()).unwrap();
        Self { root_key, root, leaf_key, leaf: certificate.build() }
    }

    /// A maker of one model, named in its certificate.
    pub fn of(aaguid: [u8; 16]) -> Self {
        Self::new(&Leaf { aaguid: Some(aaguid), ..Leaf::default() })
    }

    /// The root, PEM.
    pub fn root_pem(&self) -> Vec<u8> {
        self.root.to_pem().unwrap()
    }

    /// Vouches for what an authenticator answered to a registration, in place of what vouches there.
    pub fn vouch(&self, answer: &mut Value) {
        let authenticator_data = authenticator_data(answer);
        let client_data = decode(&answer["response"]["clientDataJSON"]);
        let signed = [authenticator_data.as_slice(), &openssl::sha::sha256(&client_data)].concat();
        let mut signer = Signer::new(MessageDigest::sha256(), &self.leaf_key).unwrap();
        let signature = signer.sign_oneshot_to_vec(&signed).unwrap();
        let certificates = vec![Cbor::Bytes(self.leaf.to_der().unwrap())];
        let statement =
            [("alg", Cbor::Integer(-7)), ("sig", Cbor::Bytes(signature)), ("x5c", Cbor::Array(certificates))];
        put_statement(answer, "packed", statement.into_iter().collect(), authenticator_data);
    }

    /// Vouches as an Android keystore does, with the signature of the key itself that a self attestation holds.
    pub fn vouch_as_android(&self, answer: &mut Value, levels: [u8; 2], hardware: &[u8], challenge: Option<&[u8]>) {
        let object = decode(&answer["response"]["attestationObject"]);
        let Cbor::Map(members) = serde_cbor_2::from_slice(&object).unwrap() else { panic!("no map") };
        let Some(Cbor::Map(own)) = members.get(&Cbor::Text("attStmt".to_owned())) else { panic!("no statement") };
        let signature = own[&Cbor::Text("sig".to_owned())].clone();
        let key = PKey::public_key_from_der(&decode(&answer["response"]["publicKey"])).unwrap();
        let subject = name(&[("CN", "Android Keystore Key")]);
        let mut leaf = X509::builder().unwrap();
        leaf.set_version(2).unwrap();
        leaf.set_serial_number(&Asn1Integer::from_bn(&BigNum::from_u32(1).unwrap()).unwrap()).unwrap();
        leaf.set_subject_name(&subject).unwrap();
        leaf.set_issuer_name(self.root.subject_name()).unwrap();
        leaf.set_pubkey(&key).unwrap();
        leaf.set_not_before(&Asn1Time::from_unix(SINCE).unwrap()).unwrap();
        leaf.set_not_after(&Asn1Time::from_unix(UNTIL).unwrap()).unwrap();
        let client_data = openssl::sha::sha256(&decode(&answer["response"]["clientDataJSON"]));
        let challenge = challenge.unwrap_or(&client_data);
        let mut description = vec![0x02, 0x01, 0x04, 0x0a, 0x01, levels[0], 0x02, 0x01, 0x29, 0x0a, 0x01, levels[1]];
        description.extend([0x04, u8::try_from(challenge.len()).unwrap()]);
        description.extend(challenge);
        description.extend([0x04, 0x00, 0x30, 0x00, 0x30, u8::try_from(hardware.len()).unwrap()]);
        description.extend(hardware);
        let description = [&[0x30, u8::try_from(description.len()).unwrap()][..], &description].concat();
        leaf.append_extension(raw("1.3.6.1.4.1.11129.2.1.17", &description)).unwrap();
        leaf.sign(&self.root_key, MessageDigest::sha256()).unwrap();
        let x5c = Cbor::Array(vec![Cbor::Bytes(leaf.build().to_der().unwrap())]);
        let statement = [("alg", Cbor::Integer(-7)), ("sig", signature), ("x5c", x5c)];
        let data = authenticator_data(answer);
        put_statement(answer, "android-key", statement.into_iter().collect(), data);
    }

    /// Vouches as a TPM does, for a P-256 key with these attributes.
    pub fn vouch_as_tpm(&self, answer: &mut Value, attributes: u32) {
        let key = PKey::public_key_from_der(&decode(&answer["response"]["publicKey"])).unwrap().ec_key().unwrap();
        let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        key.public_key().affine_coordinates(key.group(), &mut x, &mut y, &mut context).unwrap();
        let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let coordinate = |number: &BigNum| sized(&number.to_vec_padded(32).unwrap());
        let head = [0x00, 0x23, 0x00, 0x0b];
        // No policy, no symmetric algorithm, no scheme, NIST P-256, no derivation.
        let rest = [0x00, 0x00, 0x00, 0x10, 0x00, 0x10, 0x00, 0x03, 0x00, 0x10];
        let area = [&head[..], &attributes.to_be_bytes(), &rest, &coordinate(&x), &coordinate(&y)].concat();
        let data = authenticator_data(answer);
        let client_data = openssl::sha::sha256(&decode(&answer["response"]["clientDataJSON"]));
        let extra = openssl::sha::sha256(&[data.as_slice(), &client_data].concat());
        let key_name = [&[0x00, 0x0b][..], &openssl::sha::sha256(&area)].concat();
        let info = [
            &[0xff, 0x54, 0x43, 0x47, 0x80, 0x17, 0x00, 0x00][..],
            &sized(&extra),
            &[0; 25],
            &sized(&key_name),
            &[0x00, 0x00],
        ]
        .concat();
        let mut leaf = builder(&name(&[]), self.root.subject_name(), &self.leaf_key, (SINCE, UNTIL));
        leaf.append_extension(BasicConstraints::new().critical().build().unwrap()).unwrap();
        leaf.append_extension(raw("2.5.29.37", &[0x30, 0x07, 0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x03])).unwrap();
        let attribute = |n| [0x31, 0x0c, 0x30, 0x0a, 0x06, 0x05, 0x67, 0x81, 0x05, 0x02, n, 0x0c, 0x01, b'1'];
        let device = [&[0x30, 0x2e, 0xa4, 0x2c, 0x30, 0x2a][..], &attribute(1), &attribute(2), &attribute(3)].concat();
        leaf.append_extension(raw("2.5.29.17", &device)).unwrap();
        leaf.sign(&self.root_key, MessageDigest::sha256()).unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), &self.leaf_key).unwrap();
        let signature = signer.sign_oneshot_to_vec(&info).unwrap();
        let statement = [
            ("ver", Cbor::Text("2.0".to_owned())),
            ("alg", Cbor::Integer(-7)),
            ("sig", Cbor::Bytes(signature)),
            ("x5c", Cbor::Array(vec![Cbor::Bytes(leaf.build().to_der().unwrap())])),
            ("certInfo", Cbor::Bytes(info)),
            ("pubArea", Cbor::Bytes(area)),
        ];
        put_statement(answer, "tpm", statement.into_iter().collect(), data);
    }

    /// An entry of metadata for one of its models.
    pub fn entry(&self, aaguid: &str, kept: &[&str], verified: &[&[&str]], statuses: &[&str]) -> Value {
        let ways: Vec<_> = verified
            .iter()
            .map(|all| all.iter().map(|one| json!({ "userVerificationMethod": one })).collect::<Vec<_>>())
            .collect();
        let reports: Vec<_> =
            statuses.iter().map(|status| json!({ "status": status, "effectiveDate": "2024-01-01" })).collect();
        json!({
            "aaguid": aaguid,
            "metadataStatement": {
                "aaguid": aaguid,
                "description": "Keys Inc. One",
                "keyProtection": kept,
                "userVerificationDetails": ways,
                "attachmentHint": ["external", "wired"],
                "attestationRootCertificates": [BASE64.encode(&self.root.to_der().unwrap())],
            },
            "statusReports": reports,
        })
    }
}

/// Who signs metadata.
pub struct Service {
    pub root: X509,
    key: PKey<Private>,
    leaf: X509,
}

impl Service {
    /// With a certificate for this name.
    pub fn new(host: &str, until: i64) -> Self {
        let (root_key, key) = (rsa(), rsa());
        let root = authority("Roots Inc. R1", &root_key);
        let mut leaf = builder(&name(&[("CN", host)]), root.subject_name(), &key, (SINCE, until));
        let names = SubjectAlternativeName::new().dns(host).build(&leaf.x509v3_context(Some(&root), None)).unwrap();
        leaf.append_extension(names).unwrap();
        leaf.sign(&root_key, MessageDigest::sha256()).unwrap();
        Self { root, key, leaf: leaf.build() }
    }

    pub fn fido() -> Self {
        Self::new("mds.fidoalliance.org", UNTIL)
    }

    /// A signed blob.
    pub fn blob(&self, number: u64, next_update: &str, entries: &[Value]) -> Vec<u8> {
        let body = json!({ "legalHeader": "…", "no": number, "nextUpdate": next_update, "entries": entries });
        self.sign("RS256", body.to_string().as_bytes())
    }

    pub fn sign(&self, algorithm: &str, body: &[u8]) -> Vec<u8> {
        let x5c = [BASE64.encode(&self.leaf.to_der().unwrap())];
        let head = json!({ "alg": algorithm, "typ": "JWT", "x5c": x5c }).to_string();
        let signed = format!("{}.{}", BASE64URL_NOPAD.encode(head.as_bytes()), BASE64URL_NOPAD.encode(body));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).unwrap();
        let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)).into_bytes()
    }

    /// The root, PEM.
    pub fn root_pem(&self) -> Vec<u8> {
        self.root.to_pem().unwrap()
    }
}

fn decode(text: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

/// The authenticator data of a registration's answer.
pub fn authenticator_data(answer: &Value) -> Vec<u8> {
    let object = decode(&answer["response"]["attestationObject"]);
    let Cbor::Map(members) = serde_cbor_2::from_slice(&object).unwrap() else { panic!("no map") };
    let Some(Cbor::Bytes(data)) = members.get(&Cbor::Text("authData".to_owned())) else { panic!("no data") };
    data.clone()
}

/// Puts a statement into a registration's answer.
pub fn put_statement(answer: &mut Value, format: &str, statement: BTreeMap<&str, Cbor>, authenticator_data: Vec<u8>) {
    let text = |text: &str| Cbor::Text(text.to_owned());
    let statement = statement.into_iter().map(|(name, value)| (text(name), value)).collect();
    let members = BTreeMap::from([
        (text("fmt"), text(format)),
        (text("attStmt"), Cbor::Map(statement)),
        (text("authData"), Cbor::Bytes(authenticator_data)),
    ]);
    let object = serde_cbor_2::to_vec(&members).unwrap();
    answer["response"]["attestationObject"] = BASE64URL_NOPAD.encode(&object).into();
}

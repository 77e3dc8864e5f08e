//! Every key of a life: the server's own, the certificates', and the salts beside the documents.
//! In: files and the database. Out: secrets, as text and as the bytes that the text encodes.
//! Implements nothing.
//! Never a part that is public: a file's kind, a key's algorithm.

use countersign::crypto::master_key::{MasterKey, MasterKeySource};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::Value;

use super::stage::Life;

impl Life {
    /// A P-256 key in PKCS#8 (RFC 5958): its first two lines, and the scalar in them; what follows is public.
    pub(super) fn private_key(&mut self, name: &str, pem: &str) {
        let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with("--")).collect();
        for line in lines.iter().take(2).filter(|line| line.len() >= 16) {
            self.secret(name, line);
        }
        if let Ok(bytes) = BASE64.decode(lines.concat().as_bytes()) {
            self.secret(name, &bytes[36..52]);
        }
    }

    pub(super) fn keys(&mut self) {
        for name in ["master-key", "log-key"] {
            let text = std::fs::read_to_string(self.path(name)).unwrap();
            let key = text.trim().splitn(5, '+').last().unwrap().to_owned();
            self.secret(name, &key);
            for encoding in [BASE64, BASE64URL_NOPAD] {
                if let Ok(bytes) = encoding.decode(key.as_bytes()) {
                    self.secret(name, &bytes[bytes.len() - 16..]);
                }
            }
        }
        let master = MasterKey::load(&MasterKeySource::File(self.path("master-key"))).unwrap();
        let connection = rusqlite::Connection::open(self.path("state/countersign.db")).unwrap();
        let mut rows = connection.prepare("SELECT kid, wrapped FROM signing_key").unwrap();
        let rows: Vec<(String, String)> =
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
        for (kid, wrapped) in rows {
            self.secret("a wrapped signing key", wrapped.rsplit('.').nth(1).unwrap());
            let key: Value = serde_json::from_slice(&master.unwrap(&wrapped, &kid).unwrap()).unwrap();
            for name in ["d", "p", "q", "dp", "dq", "qi"] {
                if let Some(member) = key.get(name).and_then(Value::as_str) {
                    self.secret(&format!("`{name}` of a signing key"), member);
                    self.secret(
                        &format!("`{name}` of a signing key"),
                        BASE64URL_NOPAD.decode(member.as_bytes()).unwrap(),
                    );
                }
            }
        }
        let mut salts = connection.prepare("SELECT salt FROM evidence WHERE salt IS NOT NULL").unwrap();
        let salts: Vec<Vec<u8>> = salts.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(salts.len() > 5);
        for salt in salts {
            self.secret("a document's salt", salt);
        }
    }
}

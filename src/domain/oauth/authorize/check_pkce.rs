//! `code_challenge`: the hash of a secret that only whoever began knows.
//! In: the parameters. Out: the challenge.
//! Implements RFC 7636 §4.3 and §4.4.1, RFC 9700 §2.1.1 (for every client, S256 alone).
//! Never lets a code out that anybody who reads it could redeem.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::pkce::is_challenge;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(challenge) = asked.said.get("code_challenge") else {
        return Err(refuse(ErrorCode::PkceRequired, "the parameter `code_challenge` is missing"));
    };
    // Without the method the challenge would be the verifier itself.
    if asked.said.get("code_challenge_method") != Some("S256") {
        return Err(refuse(ErrorCode::PkceRequired, "`code_challenge_method` is not `S256`"));
    }
    if !is_challenge(challenge) {
        return Err(refuse(ErrorCode::PkceRequired, "`code_challenge` is not a SHA-256 in 43 characters of base64url"));
    }
    draft.code_challenge = Some(challenge.to_owned());
    Ok(())
}

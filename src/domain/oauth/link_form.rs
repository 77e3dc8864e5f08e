//! What a job sends that brings a person's code, read without tolerance.
//! In: the form of `POST /link`. Out: `LinkForm`, or the first fault with its code.
//! Implements DESIGN §11 (proof by pipeline), RFC 6749 §3.2 (a parameter occurs once).
//! Never looks inside the job token.

use crate::domain::people::proof::LinkCode;
use crate::domain::rules::Refusal;

use super::error_code::ErrorCode;
use super::exchange::{SubjectToken, bounded};
use super::form::Form;

/// A well-formed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkForm {
    /// The person's code.
    pub code: LinkCode,
    /// The job token, unverified.
    pub token: SubjectToken,
}

/// Reads a form.
///
/// # Errors
/// The first fault, with its code.
pub fn parse(body: &[u8]) -> Result<LinkForm, Refusal> {
    let form = Form::read(body)?;
    let code = LinkCode::parse(form.require("code")?)
        .ok_or_else(|| Refusal::new(ErrorCode::LinkCodeUnknown, "`code` is not a code that this server makes"))?;
    Ok(LinkForm { code, token: bounded("token", form.require("token")?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_046_code_and_token_occur_once_and_in_the_body() {
        let read = parse(b"code=7777-7777-7777-7777&token=a.b.c").unwrap();
        assert!(!format!("{read:?}").contains("7777") && !format!("{read:?}").contains("a.b.c"));
        let code = |body: &str| parse(body.as_bytes()).unwrap_err().code;
        assert_eq!(code("token=a.b.c"), ErrorCode::ParameterMissing);
        assert_eq!(code("code=7777-7777-7777-7777"), ErrorCode::ParameterMissing);
        assert_eq!(code("code=7777&token=a"), ErrorCode::LinkCodeUnknown);
        assert_eq!(code("code=7777-7777-7777-7777&token=a&token=b"), ErrorCode::ParameterRepeated);
        let long = format!("code=7777-7777-7777-7777&token={}", "a".repeat(32 * 1024 + 1));
        assert_eq!(code(&long), ErrorCode::ParameterInvalid);
    }
}

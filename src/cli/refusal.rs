//! How a command says no: what a use case refused, and the exit code that it means.
//! In: `AppError`. Out: two lines of words, an exit code.
//! Implements SCREENS' terminal rules (sentence and code, then the cure) and DESIGN §12's exit codes.
//! Never decides anything.

use super::exit::Exit;
use super::printer::Printer;
use crate::app::AppError;
use crate::domain::oauth::error_code::{ErrorCode, OAuthCode};

/// Says what was refused or failed.
pub fn say(error: &AppError, printer: &mut Printer) -> Exit {
    match error {
        AppError::Refused { refusal, .. } => {
            said(refusal.code, &refusal.sentence(), refusal.hint.as_deref().unwrap_or(refusal.code.cure()), printer)
        }
        AppError::Fault { code, detail } => said(*code, detail, code.cure(), printer),
    }
}

/// Says a refusal of which only the words are left.
pub fn said(code: ErrorCode, description: &str, cure: &str, printer: &mut Printer) -> Exit {
    printer.problem(format!("{description} ({})", code.as_str()), cure);
    exit_of(code)
}

/// A form that is wrong is the command line's fault; what is busy may work later; the rest is a plain no.
const fn exit_of(code: ErrorCode) -> Exit {
    match (code, code.oauth()) {
        (ErrorCode::ParameterInvalid | ErrorCode::ParameterMissing, _) => Exit::Usage,
        (_, OAuthCode::TemporarilyUnavailable) => Exit::TryAgain,
        (_, OAuthCode::ServerError) => Exit::OurFault,
        _ => Exit::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::{Abilities, tests::taped};

    #[test]
    fn a_refusal_has_its_sentence_code_and_cure() {
        let (mut printer, _, err) = taped(Abilities::default());
        let error = AppError::refused(ErrorCode::NotFound, "the log has no entry 9").with_hint("name another");
        assert_eq!(say(&error, &mut printer), Exit::No);
        assert_eq!(err.text(), "the log has no entry 9 (not_found)\n  cure: name another\n");
    }

    #[test]
    fn busy_is_3_and_a_fault_is_4() {
        assert_eq!(exit_of(ErrorCode::QueueFull), Exit::TryAgain);
        assert_eq!(exit_of(ErrorCode::Internal), Exit::OurFault);
        assert_eq!(exit_of(ErrorCode::ParameterInvalid), Exit::Usage);
    }
}

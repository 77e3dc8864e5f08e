//! Every stable `error_code` and the OAuth error it belongs to: a register.
//! In: nothing. Out: names, OAuth codes, the cure for each.
//! Implements RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 8628 §3.5 as DESIGN §5 uses them.
//! Never picks an HTTP status: `OAuthCode::status` is the only source.

use serde::{Deserialize, Serialize};

/// The `error` member of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthCode {
    /// RFC 6749 §5.2; RFC 8693 §2.2.2 also for an unacceptable job token.
    InvalidRequest,
    /// RFC 8693 §2.2.2.
    InvalidTarget,
    /// RFC 6749 §5.2.
    InvalidScope,
    /// RFC 6749 §5.2.
    UnsupportedGrantType,
    /// RFC 6749 §5.2.
    InvalidClient,
    /// RFC 6749 §5.2.
    InvalidGrant,
    /// RFC 6749 §5.2.
    UnauthorizedClient,
    /// RFC 9449 §5.
    InvalidDpopProof,
    /// RFC 9449 §8.
    UseDpopNonce,
    /// RFC 6750 §3.1.
    InvalidToken,
    /// RFC 6750 §3.1.
    InsufficientScope,
    /// RFC 8628 §3.5.
    AuthorizationPending,
    /// RFC 8628 §3.5.
    SlowDown,
    /// RFC 8628 §3.5.
    AccessDenied,
    /// RFC 8628 §3.5.
    ExpiredToken,
    /// RFC 6749 §4.1.2.1.
    TemporarilyUnavailable,
    /// RFC 6749 §4.1.2.1.
    ServerError,
    /// RFC 6749 §4.1.2.1.
    UnsupportedResponseType,
    /// OpenID Connect Core §3.1.2.6.
    InvalidRequestUri,
    /// OpenID Connect Core §3.1.2.6.
    RequestNotSupported,
    /// OpenID Connect Core §3.1.2.6.
    RequestUriNotSupported,
    /// OpenID Connect Core §3.1.2.6.
    RegistrationNotSupported,
    /// OpenID Connect Core §3.1.2.6.
    LoginRequired,
    /// OpenID Connect Core §3.1.2.6.
    ConsentRequired,
    /// OpenID Connect Core Error Code unmet_authentication_requirements 1.0.
    UnmetAuthenticationRequirements,
}

impl OAuthCode {
    /// As the wire spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::AccessDenied => "access_denied",
            Self::ExpiredToken => "expired_token",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
        }
    }
}

macro_rules! error_codes {
    ($($variant:ident $name:literal $oauth:ident $status:literal $cure:literal;)*) => {
        /// The stable code of a refusal or fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $(#[doc = $cure] #[serde(rename = $name)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the register.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As the wire, the log and the documentation spell it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The OAuth error that carries it at the token endpoint.
            #[must_use]
            pub const fn oauth(self) -> OAuthCode {
                match self { $(Self::$variant => OAuthCode::$oauth,)* }
            }

            /// The HTTP status that carries it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The HTTP status that carries it where a page asked: what is over is a conflict or gone there.
            #[must_use]
            pub const fn page_status(self) -> u16 {
                match self {
                    Self::RuleChanged | Self::RequestContested => 409,
                    Self::RequestExpired => 410,
                    other => other.status(),
                }
            }

            /// What to do next, where the place that refuses knows nothing better.
            #[must_use]
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$variant => $cure,)* }
            }
        }
    };
}

error_codes! {
    // the form
    ParameterMissing "parameter_missing" InvalidRequest 400 "send the parameter that is named";
    ParameterRepeated "parameter_repeated" InvalidRequest 400 "send the parameter once; only `audience` and `resource` may repeat";
    ParameterInvalid "parameter_invalid" InvalidRequest 400 "send one of the values that the documentation lists";
    ActorUnsupported "actor_unsupported" InvalidRequest 400 "leave `actor_token` out; this version does not take one";
    DpopUnsupported "dpop_unsupported" InvalidRequest 400 "leave the `DPoP` header out here; the call at `/token` takes one";
    GrantUnsupported "grant_unsupported" UnsupportedGrantType 400 "use one of `grant_types_supported` in `/.well-known/openid-configuration`; a job uses `urn:ietf:params:oauth:grant-type:token-exchange`";
    // clients, grants and their tokens
    ClientUnknown "client_unknown" InvalidClient 401 "compare `client_id`, the secret and the way in which it is sent with `[[client]]` of the configuration";
    ClientAuthMixed "client_auth_mixed" InvalidClient 401 "send the client's id and secret in one place: the header, the form, or an assertion";
    ClientAssertionInvalid "client_assertion_invalid" InvalidClient 401 "sign a new assertion for each call: `aud` this server's URL alone, `exp` within an hour, a fresh `jti`";
    GrantNotAllowed "grant_not_allowed" UnauthorizedClient 400 "add the grant to the client's `grants` in the configuration, or let the tool use another";
    CodeInvalid "code_invalid" InvalidGrant 400 "sign in again; a code counts once, for a minute, with the `redirect_uri` and the `code_verifier` that it was asked with";
    CodeUsed "code_used" InvalidGrant 400 "sign in again; the code came twice, so every token that it gave has ended";
    RefreshTokenInvalid "refresh_token_invalid" InvalidGrant 400 "sign in again";
    RefreshTokenUsed "refresh_token_used" InvalidGrant 400 "sign in again; an old refresh token came back, so every token of that sign-in has ended";
    RefreshTokenBusy "refresh_token_busy" InvalidGrant 400 "use the refresh token of the call that came a moment before";
    GrantOver "grant_over" InvalidGrant 400 "sign in again; what is missing is named";
    DevicePending "device_pending" AuthorizationPending 400 "ask again after `interval` seconds; the person types the code at `verification_uri`";
    DeviceDenied "device_denied" AccessDenied 400 "start again at the device, if that was a mistake";
    DeviceExpired "device_expired" ExpiredToken 400 "start again at the device: a code is good for 10 minutes";
    DeviceCodeInvalid "device_code_invalid" InvalidGrant 400 "start again at the device";
    DeviceCodeUsed "device_code_used" InvalidGrant 400 "start again at the device; the code came twice, so every token that it gave has ended";
    ScopeNotGranted "scope_not_granted" InvalidScope 400 "ask for scopes that the client has in its `scopes`, and that were granted";
    ResourceNotAllowed "resource_not_allowed" InvalidTarget 400 "ask for one of the client's `resources`, as it was authorized";
    DpopProofInvalid "dpop_proof_invalid" InvalidDpopProof 400 "make a new proof for each call, as RFC 9449 says, and check the client's clock";
    DpopNonceWanted "dpop_nonce_wanted" UseDpopNonce 400 "send the proof again with the `nonce` of the `DPoP-Nonce` header";
    DpopKeyWrong "dpop_key_wrong" InvalidGrant 400 "prove the key with which the code or the token was had, or sign in again";
    AccessTokenInvalid "access_token_invalid" InvalidToken 401 "refresh the access token, or sign in again";
    ScopeInsufficient "scope_insufficient" InsufficientScope 403 "sign in with the scope that is named";
    // the job token
    NotCompactJws "not_compact_jws" InvalidRequest 400 "send the value of the `id_tokens:` variable as it is";
    DuplicateMember "duplicate_member" InvalidRequest 400 "send the value of the `id_tokens:` variable as it is";
    AlgNotAllowed "alg_not_allowed" InvalidRequest 400 "send a token that the issuer signed with RS256";
    CritNotAllowed "crit_not_allowed" InvalidRequest 400 "send the value of the `id_tokens:` variable as it is";
    UnknownIssuer "unknown_issuer" InvalidRequest 400 "add the issuer to the configuration, exactly as the token spells `iss`";
    NotAdmitted "not_admitted" InvalidRequest 400 "add the project's or namespace's id to the issuer's `projects` or `namespaces`";
    UnknownKey "unknown_key" InvalidRequest 400 "retry the job; if the issuer has just changed its keys, wait a minute";
    SignatureInvalid "signature_invalid" InvalidRequest 400 "send the value of the `id_tokens:` variable as it is";
    AudMissing "aud_missing" InvalidRequest 400 "set `aud` of the `id_tokens:` entry to this server's URL";
    AudWrong "aud_wrong" InvalidRequest 400 "set `aud` of the `id_tokens:` entry to this server's URL, exactly";
    AudNotExclusive "aud_not_exclusive" InvalidRequest 400 "give the `id_tokens:` entry this server's URL as its only `aud`";
    TokenExpired "token_expired" InvalidRequest 400 "retry the job";
    TokenFromFuture "token_from_future" InvalidRequest 400 "check time synchronisation on both servers (a runner's clock has no part in this)";
    TokenTooOld "token_too_old" InvalidRequest 400 "ask earlier in the job, or retry it";
    NotAJobToken "not_a_job_token" InvalidRequest 400 "send a token of the job's `id_tokens:`, not another kind";
    BadClaimType "bad_claim_type" InvalidRequest 400 "the issuer sent a claim in a form that is not GitLab's; check the issuer";
    NotByHand "not_by_hand" InvalidRequest 400 "in GitLab, start the pipeline by hand: Build, Pipelines, New pipeline";
    LinkCodeUnknown "link_code_unknown" InvalidRequest 400 "make a new code at `/me/links`, and use it within the time that is named there";
    // the state
    TokenSpent "token_spent" InvalidRequest 400 "retry the job in GitLab, or give it one `id_tokens:` entry per set of audiences";
    KeyRevoked "key_revoked" InvalidRequest 400 "retry the job in GitLab: the new job's token is signed with the new key";
    CollectorRequired "collector_required" InvalidRequest 400 "send an `Idempotency-Key` of 32 to 128 random characters (`countersign token` does), or a DPoP proof";
    CollectorMalformed "collector_malformed" InvalidRequest 400 "send an `Idempotency-Key` of 32 to 128 characters of `A-Z a-z 0-9 _ -`";
    OtherCollector "other_collector" InvalidRequest 400 "ask once in a job, for every audience, and use the file that it wrote; by hand, repeat the first call's `Idempotency-Key`, or prove the first call's key again; if it was not you, look at the job";
    NoRuleMatches "no_rule_matches" InvalidRequest 400 "compare the job with the nearest rule: `countersign rule explain`";
    RuleChanged "rule_changed" InvalidRequest 400 "retry the job in GitLab to ask again under the new rule";
    RuleNotEvaluable "rule_not_evaluable" InvalidRequest 400 "mend the rule that is named: `countersign rule explain`";
    GroupEmpty "group_empty" InvalidRequest 400 "put people into the group: `countersign people invite NAME --group GROUP`";
    StarterNotLinked "starter_not_linked" InvalidRequest 400 "tie the GitLab user to a person: `countersign people link PERSON --issuer I --user-id N`";
    StarterDisputed "starter_disputed" InvalidRequest 400 "one of the two is wrong: untie the user, or mend its identity in GitLab";
    IdentityUnknown "identity_unknown" InvalidRequest 400 "mend the user's identity in GitLab: its `extern_uid` is the id of a person, as in `countersign people list`";
    AudienceNotAllowed "audience_not_allowed" InvalidTarget 400 "ask for an audience that the rule lists, or add it there";
    AudienceNotInRequest "audience_not_in_request" InvalidTarget 400 "ask for one audience of the request, or for its whole list";
    ScopeNotAllowed "scope_not_allowed" InvalidScope 400 "leave `scope` out; rules say what a token carries";
    DeniedByRule "denied_by_rule" AccessDenied 400 "do what the rule's sentence says";
    DeniedByPerson "denied_by_person" AccessDenied 400 "ask the person why; only a new job may ask again";
    RequestContested "request_contested" AccessDenied 400 "look at the job: somebody else holds its token; then retry it";
    RequestExpired "request_expired" ExpiredToken 400 "retry the job in GitLab to ask again";
    ApprovalPending "approval_pending" AuthorizationPending 400 "open the link and compare the code";
    PolledTooFast "polled_too_fast" SlowDown 400 "wait as long as `interval` says, or send `Prefer: wait=50`";
    // busy, limits, faults
    LogUnavailable "log_unavailable" TemporarilyUnavailable 503 "try again; the operator finds the cause in the server's diagnostics";
    IssuerUnavailable "issuer_unavailable" TemporarilyUnavailable 503 "try again; the issuer's keys cannot be read just now";
    QueueFull "queue_full" TemporarilyUnavailable 503 "try again in a few seconds";
    ClockStepped "clock_stepped" TemporarilyUnavailable 503 "try again; the operator must set the server's clock right";
    MetadataUnavailable "metadata_unavailable" TemporarilyUnavailable 503 "try again; the metadata before stays in force";
    MetadataRefused "metadata_refused" InvalidRequest 400 "look at what is named; the metadata before stays in force";
    BodyTooLarge "body_too_large" InvalidRequest 413 "send less than the limit";
    RateLimited "rate_limited" TemporarilyUnavailable 429 "wait as long as `Retry-After` says";
    Internal "internal" ServerError 500 "try again; tell the operator the call id";
    // pages
    ChallengeUnknown "challenge_unknown" InvalidRequest 400 "reload the page and touch the key again";
    StatementMismatch "statement_mismatch" InvalidRequest 400 "reload the page; it shows what is asked now";
    OriginWrong "origin_wrong" InvalidRequest 400 "open the link at this server's own address";
    UvRequired "uv_required" InvalidRequest 400 "use a passkey that asks for a PIN, a fingerprint or a face";
    AssertionInvalid "assertion_invalid" InvalidRequest 400 "reload the page and touch the key again";
    NotAnApprover "not_an_approver" AccessDenied 403 "send the link to one of the people that the rule names";
    SelfApproval "self_approval" AccessDenied 403 "send the link to somebody else whom the rule names";
    AcrNotReached "acr_not_reached" AccessDenied 403 "use a passkey that reaches the level that the rule demands";
    PasskeyUnknown "passkey_unknown" AccessDenied 403 "use a passkey that was enrolled here";
    PasskeySuspended "passkey_suspended" AccessDenied 403 "use another passkey, or ask an admin";
    PasskeyKnown "passkey_known" InvalidRequest 409 "use another passkey; this one is enrolled already";
    SignInNeeded "sign_in_needed" AccessDenied 401 "sign in, then do it again";
    SignInStale "sign_in_stale" AccessDenied 403 "sign in once more: this wants a sign-in that is younger than 5 minutes";
    PasskeysEnough "passkeys_enough" AccessDenied 409 "remove a passkey that you do not use any more";
    PasskeyTooNew "passkey_too_new" AccessDenied 403 "use an older passkey, or wait an hour; a denial may be signed at once";
    PolicyNotMet "policy_not_met" InvalidRequest 400 "use a passkey that the policy admits";
    AlreadyDecided "already_decided" AccessDenied 409 "nothing is left to do";
    AlreadyApproved "already_approved" AccessDenied 409 "your signature counts already";
    NotAnAdmin "not_an_admin" AccessDenied 403 "send the link to an admin of this server";
    PasskeyRests "passkey_rests" AccessDenied 403 "wait until the time that is named, use another passkey, or let admins vouch for it";
    LastAdmin "last_admin" AccessDenied 409 "make somebody else an admin first, and let them make a passkey";
    LastPasskey "last_passkey" AccessDenied 409 "let the person make another passkey first, or suspend them";
    NameTaken "name_taken" AccessDenied 409 "choose a name that nobody could take for another's";
    ChangeOver "change_over" AccessDenied 410 "propose it again; where it is about the rules, load them again";
    LinksEnough "links_enough" AccessDenied 409 "have an admin untie a GitLab user that is not yours any more";
    SomebodyElse "somebody_else" AccessDenied 409 "sign out in this browser, then open the link again";
    LinkSpent "link_spent" AccessDenied 410 "ask for a new link";
    // a device
    UserCodeUnknown "user_code_unknown" InvalidRequest 404 "compare it with the device; a code is good once, for 10 minutes: if need be, start again there";
    DeviceOver "device_over" AccessDenied 410 "type the code again at `/device`, or start again at the device";
    // signing in to an application
    ApplicationUnknown "application_unknown" InvalidRequest 400 "add the application to the configuration, with this `client_id`";
    RedirectUriUnknown "redirect_uri_unknown" InvalidRequest 400 "add the address to the client's `redirect_uris`, exactly as the application sends it";
    RequestObjectUnsupported "request_object_unsupported" RequestNotSupported 400 "send the parameters themselves, or push them to `/par`";
    RequestUriUnsupported "request_uri_unsupported" RequestUriNotSupported 400 "push the request to `/par` and send the `request_uri` that it answers";
    RegistrationUnsupported "registration_unsupported" RegistrationNotSupported 400 "configure the client here";
    RequestUriUnknown "request_uri_unknown" InvalidRequestUri 400 "start again at the application: a pushed request is good once, for a minute";
    ResponseTypeUnsupported "response_type_unsupported" UnsupportedResponseType 400 "use `response_type=code`";
    ResponseModeUnsupported "response_mode_unsupported" UnsupportedResponseType 400 "use `query`, or add `form_post` to the client's `response_modes`";
    PushRequired "push_required" InvalidRequest 400 "push the request to `/par`, or take `par = true` from the client";
    PkceRequired "pkce_required" InvalidRequest 400 "switch PKCE with `S256` on in the application";
    HintInvalid "hint_invalid" InvalidRequest 400 "send an ID token that this client was given here, or leave the hint out";
    AcrUnmet "acr_unmet" UnmetAuthenticationRequirements 403 "use a passkey that reaches the level; there are `phr` and `phrh`";
    LoginNeeded "login_needed" LoginRequired 400 "ask again without `prompt=none`";
    ConsentNeeded "consent_needed" ConsentRequired 400 "ask again without `prompt=none`";
    NotInGroups "not_in_groups" AccessDenied 403 "ask an admin to add the person to one of the client's `groups`";
    AuthorizationDenied "authorization_denied" AccessDenied 400 "start again at the application";
    AuthorizationOver "authorization_over" AccessDenied 410 "start again at the application";
    NotFound "not_found" InvalidRequest 404 "check the link, or the number";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_every_one_has_a_cure() {
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
        for code in ErrorCode::ALL {
            assert!(!code.cure().is_empty() && !code.cure().ends_with('.'), "{}", code.as_str());
        }
    }
}

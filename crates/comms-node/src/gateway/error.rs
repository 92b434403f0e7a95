//! What a client of the gateway hears when something is refused: the one place that chooses status codes.
//!
//! Every refusal has the body `{"error": Refusal}`. Content that is forbidden and content that is absent are
//! one case here, so that no answer can tell them apart.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use comms_content::Cid;
use comms_msg::door::{Refusal, RefusalKind};
use comms_store::Error as StoreError;
use serde::Serialize;

use crate::share::OverShare;

/// The result of every handler.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request names another host than this one.
    #[error(
        "this node answers on its loopback address only; Host must be 127.0.0.1, localhost or [::1] with its port"
    )]
    Host,
    /// A page in a browser asks.
    #[error("requests of web pages are not allowed")]
    Origin,
    /// No token, or not one of ours.
    #[error(
        "a bearer token of a service is needed; it is in the file {{service}}.token among the credentials"
    )]
    Unauthorized,
    /// The caller holds no such right.
    #[error("{0}")]
    Denied(String),
    /// Not here, or not for the caller.
    #[error("no content {0} that you may read")]
    NotFound(Cid),
    /// No such path.
    #[error("there is nothing at this path")]
    Path,
    /// The path exists, but not for this method.
    #[error("this path does not take this method")]
    Method,
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// What was sent is not what it says.
    #[error("{0}")]
    Invalid(String),
    /// More than is taken at once.
    #[error("more than {max} bytes")]
    TooLarge {
        /// The bound.
        max: u64,
    },
    /// No byte of the content lies in the range.
    #[error("the range lies outside of the content's {size} bytes")]
    Range {
        /// How long the content is.
        size: u64,
    },
    /// Nothing arrived for too long.
    #[error("the upload stalled; nothing was kept")]
    Stalled,
    /// The body ended early.
    #[error("the upload broke off; nothing was kept")]
    BrokenOff,
    /// The caller has as much under way as it may.
    #[error(transparent)]
    OverShare(#[from] OverShare),
    /// The bytes come in a form that is not undone here.
    #[error("{0}")]
    Coding(String),
    /// The caller expects what no server does.
    #[error("Expect takes nothing but 100-continue")]
    Expectation,
    /// `If-Match` names another representation than there is.
    #[error("the content has another ETag than If-Match asks for")]
    Condition,
    /// A mistake of the node's own.
    #[error("the node made a mistake with this request; its log says which")]
    Panic,
    /// The disk.
    #[error("{}", store_message(.0))]
    Store(#[from] StoreError),
    /// What somebody else decided.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

/// The body of a refusal.
#[derive(Serialize)]
struct Body {
    error: Refusal,
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) | Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) | Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::OverShare(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Coding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Condition => StatusCode::PRECONDITION_FAILED,
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(error) => match store_kind(error) {
                RefusalKind::NotFound => StatusCode::NOT_FOUND,
                RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                RefusalKind::Full => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::Malformed => StatusCode::BAD_REQUEST,
                RefusalKind::Invalid | RefusalKind::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
                RefusalKind::Unknown | RefusalKind::NotFound => StatusCode::NOT_FOUND,
                RefusalKind::Denied => StatusCode::FORBIDDEN,
                RefusalKind::Conflict => StatusCode::CONFLICT,
                RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                RefusalKind::Busy | RefusalKind::Unavailable | RefusalKind::Lost => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                RefusalKind::Full => StatusCode::INSUFFICIENT_STORAGE,
                RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::Host | Self::Origin | Self::Unauthorized | Self::Denied(_) => RefusalKind::Denied,
            Self::NotFound(_) => RefusalKind::NotFound,
            Self::Path | Self::Method => RefusalKind::Unknown,
            Self::Malformed(_) | Self::BrokenOff | Self::Coding(_) | Self::Expectation => {
                RefusalKind::Malformed
            }
            Self::Condition => RefusalKind::Conflict,
            Self::Panic => RefusalKind::Internal,
            Self::Invalid(_) | Self::Range { .. } => RefusalKind::Invalid,
            Self::TooLarge { .. } => RefusalKind::TooLarge,
            Self::Stalled => RefusalKind::Unavailable,
            Self::OverShare(_) => RefusalKind::Busy,
            Self::Store(error) => store_kind(error),
            Self::Refused(refusal) => refusal.kind,
        }
    }

    /// A header that belongs to this refusal.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::OverShare(_) => Some((header::RETRY_AFTER, HeaderValue::from_static("1"))),
            Self::Coding(_) => Some((header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
            Self::Range { size } => HeaderValue::try_from(format!("bytes */{size}"))
                .ok()
                .map(|range| (header::CONTENT_RANGE, range)),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Store(error) = &self {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, reason, "a request failed at the store");
        }
        let status = self.status();
        let extra = self.header();
        let error = match self {
            Self::Refused(refusal) => refusal,
            error => Refusal::new(error.kind(), error.to_string()),
        };
        let mut response = (status, Json(Body { error })).into_response();
        response.headers_mut().extend(extra);
        response
    }
}

fn store_kind(error: &StoreError) -> RefusalKind {
    match error {
        StoreError::Missing { .. } => RefusalKind::NotFound,
        StoreError::TooLarge { .. } => RefusalKind::TooLarge,
        StoreError::Full { .. } => RefusalKind::Full,
        StoreError::Content(_) => RefusalKind::Invalid,
        _ => RefusalKind::Internal,
    }
}

/// Without paths of this machine, and for what is missing the words of [`Error::NotFound`].
fn store_message(error: &StoreError) -> String {
    match error {
        StoreError::Missing { cid } => Error::NotFound(*cid).to_string(),
        error => error.to_string(),
    }
}

//! Errors on their way out. A handler gives an [`ApiError`]; [`edge`](super::edge) adds the request
//! id and writes the body.

use axum::response::{IntoResponse, Response};
use coordinator_api::v1::{Code, PROBLEM_CODE, Problem};
use coordinator_core::apply::Rejection;
use coordinator_core::pool::PoolRejection;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use crate::control_loop::MoveRefused;
use crate::preflight::PreflightRefused;
use crate::raft::{HistoryError, NotConfirmed, ProposeError, TransferError};

/// An error answer that has no request id yet.
#[derive(Debug, Clone)]
pub(super) struct ApiError(pub(super) Box<Problem>);

impl ApiError {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> ApiError {
        ApiError(Box::new(Problem::new(code, detail)))
    }

    pub(super) fn because(self, reasons: Vec<String>) -> ApiError {
        ApiError(Box::new(self.0.because(reasons)))
    }

    pub(super) fn no_leader() -> ApiError {
        ApiError::new(Code::NoLeader, "no coordinator leads at the moment; nothing was done, so try again")
    }

    pub(super) fn outcome_unknown() -> ApiError {
        let detail = "no answer came in time, so the change may have been made or may still be made; \
                      look at the status and the history before asking again";
        ApiError::new(Code::OutcomeUnknown, detail)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        if let Ok(code) = HeaderValue::from_str(self.0.code.as_str()) {
            headers.insert(PROBLEM_CODE, code);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let mut response = (status, headers).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::UnknownGroup { .. } => ApiError::new(Code::UnknownGroup, detail),
            Rejection::UnknownAppliance { .. } => ApiError::new(Code::UnknownAppliance, detail),
            Rejection::OperationRunning { .. } => ApiError::new(Code::OperationRunning, detail),
            Rejection::ReasonTooLong { .. } => ApiError::new(Code::Unprocessable, detail),
            Rejection::InvalidGroup { group, faults } => {
                ApiError::new(Code::Unprocessable, format!("the declaration of group {group} breaks rules"))
                    .because(faults.iter().map(ToString::to_string).collect())
            }
            Rejection::Pool(PoolRejection::UnknownPool { .. }) => ApiError::new(Code::UnknownPool, detail),
            Rejection::Pool(PoolRejection::UnknownMember { .. }) => {
                ApiError::new(Code::UnknownAppliance, detail)
            }
            Rejection::Pool(PoolRejection::Invalid { pool, faults }) => {
                ApiError::new(Code::Unprocessable, format!("the declaration of pool {pool} breaks rules"))
                    .because(faults.iter().map(ToString::to_string).collect())
            }
            _ => ApiError::new(Code::Refused, "the change was refused").because(vec![detail]),
        }
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } => ApiError::no_leader(),
            ProposeError::Rejected(rejection) => rejection.into(),
            ProposeError::TimedOut => ApiError::outcome_unknown(),
            ProposeError::TooLarge { .. } => ApiError::new(Code::BodyTooLarge, error.to_string()),
            ProposeError::StorageFull { .. } => ApiError::new(Code::StorageFull, error.to_string()),
            ProposeError::Stopped => ApiError::new(Code::ShuttingDown, error.to_string()),
        }
    }
}

impl From<MoveRefused> for ApiError {
    fn from(error: MoveRefused) -> Self {
        use coordinator_core::reason::Reason;
        match error {
            MoveRefused::NotLeader(_) => ApiError::no_leader(),
            MoveRefused::Unknown => ApiError::outcome_unknown(),
            MoveRefused::Rejected(rejection) => rejection.into(),
            MoveRefused::Refused(reasons) => {
                let code = match reasons.as_slice() {
                    [Reason::UnknownGroup { .. }, ..] => Code::UnknownGroup,
                    [Reason::UnknownAppliance { .. }, ..] => Code::UnknownAppliance,
                    [Reason::OperationRunning { .. }, ..] => Code::OperationRunning,
                    [Reason::ReasonTooLong { .. }, ..] => Code::Unprocessable,
                    _ => Code::Refused,
                };
                ApiError::new(code, "the move was refused; nothing was changed")
                    .because(reasons.iter().map(ToString::to_string).collect())
            }
        }
    }
}

impl From<PreflightRefused> for ApiError {
    fn from(error: PreflightRefused) -> Self {
        match error {
            PreflightRefused::NotLeader => ApiError::no_leader(),
            PreflightRefused::Busy => ApiError::new(Code::Overloaded, error.to_string()),
            PreflightRefused::UnknownGroup(_) => ApiError::new(Code::UnknownGroup, error.to_string()),
        }
    }
}

impl From<NotConfirmed> for ApiError {
    fn from(error: NotConfirmed) -> Self {
        match error {
            NotConfirmed::Stopped => ApiError::new(Code::ShuttingDown, error.to_string()),
            _ => ApiError::no_leader(),
        }
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Stopped => ApiError::new(Code::ShuttingDown, error.to_string()),
            _ => {
                tracing::error!(error = chain(&error), "the history could not be read");
                ApiError::new(Code::StorageFailed, "the history could not be read; see the log of this node")
            }
        }
    }
}

impl From<TransferError> for ApiError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::NotLeader => ApiError::no_leader(),
            TransferError::Stopped => ApiError::new(Code::ShuttingDown, error.to_string()),
            TransferError::TimedOut { .. } => ApiError::new(Code::OutcomeUnknown, error.to_string()),
            _ => ApiError::new(Code::Refused, "leadership was not handed over")
                .because(vec![error.to_string()]),
        }
    }
}

//! Bodies that were not read to their end: whoever was answered before that loses the connection.
//! In: a request whose length nobody knows. Out: its body to read, and a hold on it for as long as the answer takes.
//! Implements RFC 9112 §9.6. Where nobody holds it, the framework reads on for as long as the client likes.
//! Never reads anything itself.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::Stream;

use super::connection::UnderWay;

/// A body as the framework takes it from elsewhere than a connection.
type BoxedPayloadStream = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

/// A hold on a request's body.
#[derive(Clone)]
pub struct Unread(Rc<RefCell<Pin<Box<Payload>>>>);

impl Unread {
    /// Holds the body of a request that does not say how long it is; the request goes on with the same body.
    pub fn hold(request: ServiceRequest) -> (ServiceRequest, Option<Self>) {
        if !request.headers().contains_key(header::TRANSFER_ENCODING) {
            return (request, None);
        }
        let (request, body) = request.into_parts();
        let held = Self(Rc::new(RefCell::new(Box::pin(body))));
        let again: BoxedPayloadStream = Box::pin(held.clone());
        (ServiceRequest::from_parts(request, Payload::Stream { payload: again }), Some(held))
    }
}

impl Stream for Unread {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().as_mut().poll_next(context)
    }
}

/// An answer's body. Until the framework has taken all of it, its call is under way, and what was not read of the request is held.
pub struct Answer {
    body: BoxBody,
    _call: (Option<UnderWay>, Option<Unread>),
}

impl Answer {
    /// The body of a call's answer.
    pub const fn new(body: BoxBody, under_way: Option<UnderWay>, unread: Option<Unread>) -> Self {
        Self { body, _call: (under_way, unread) }
    }
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

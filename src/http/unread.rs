//! Bodies that were not read to their end: whoever was answered before that loses the connection.
//! In: a request whose length nobody knows. Out: its body to read, and a hold on it for as long as the answer takes.
//! Implements RFC 9112 §9.6. Where nobody holds it, the framework reads on for as long as the client likes.
//! Never reads anything itself.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::Stream;

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

    /// The answer's body, which holds the request's until it is written.
    pub const fn until_written<B>(self, body: B) -> Answer<B> {
        Answer { body, _request: self }
    }
}

impl Stream for Unread {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().as_mut().poll_next(context)
    }
}

/// An answer's body that holds on to the request's.
pub struct Answer<B> {
    body: B,
    _request: Unread,
}

impl<B: MessageBody + Unpin> MessageBody for Answer<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

//! One macro for all gRPC services: a client, a trait to implement, and a server around it.

/// The request as the server's method receives it.
macro_rules! server_request {
    (unary $request:ty) => { ::tonic::Request<$request> };
    (server_streaming $request:ty) => { ::tonic::Request<$request> };
    (bidirectional $request:ty) => { ::tonic::Request<::tonic::Streaming<$request>> };
}

/// The answer as the server's method returns it.
macro_rules! server_answer {
    (unary $answer:ty) => { ::tonic::Response<$answer> };
    ($streaming:ident $answer:ty) => { ::tonic::Response<::tonic::codegen::BoxStream<$answer>> };
}

/// The argument of the client's method.
macro_rules! client_request {
    (unary $request:ty) => { impl ::tonic::IntoRequest<$request> };
    (server_streaming $request:ty) => { impl ::tonic::IntoRequest<$request> };
    (bidirectional $request:ty) => { impl ::tonic::IntoStreamingRequest<Message = $request> };
}

/// The answer as the client's method returns it.
macro_rules! client_answer {
    (unary $answer:ty) => { ::tonic::Response<$answer> };
    ($streaming:ident $answer:ty) => { ::tonic::Response<::tonic::Streaming<$answer>> };
}

/// Turns the client's argument into a tonic request.
macro_rules! into_request {
    (bidirectional $request:ident) => {
        $request.into_streaming_request()
    };
    ($unary:ident $request:ident) => {
        $request.into_request()
    };
}

/// Calls the method of `tonic::client::Grpc` or `tonic::server::Grpc` for this kind of call.
macro_rules! grpc_call {
    (unary $grpc:expr, $($arg:expr),+) => { $grpc.unary($($arg),+).await };
    (server_streaming $grpc:expr, $($arg:expr),+) => { $grpc.server_streaming($($arg),+).await };
    (bidirectional $grpc:expr, $($arg:expr),+) => { $grpc.streaming($($arg),+).await };
}

/// Implements tonic's service trait for this kind of call on a type that holds the implementation.
macro_rules! grpc_service {
    (@ $trait:ident [$($stream:tt)*] $kind:ident $service:ident $method:ident $request:ty, $answer:ty) => {
        impl<S: $service> ::tonic::server::$trait<$request> for Method<S> {
            type Response = $answer;
            $($stream)*
            type Future = ::tonic::codegen::BoxFuture<server_answer!($kind $answer), ::tonic::Status>;

            fn call(&mut self, request: server_request!($kind $request)) -> Self::Future {
                let service = self.0.clone();
                Box::pin(async move { service.$method(request).await })
            }
        }
    };
    (unary $service:ident $method:ident $request:ty, $answer:ty) => {
        grpc_service!(@ UnaryService [] unary $service $method $request, $answer);
    };
    (server_streaming $service:ident $method:ident $request:ty, $answer:ty) => {
        grpc_service!(@ ServerStreamingService [type ResponseStream = ::tonic::codegen::BoxStream<$answer>;]
            server_streaming $service $method $request, $answer);
    };
    (bidirectional $service:ident $method:ident $request:ty, $answer:ty) => {
        grpc_service!(@ StreamingService [type ResponseStream = ::tonic::codegen::BoxStream<$answer>;]
            bidirectional $service $method $request, $answer);
    };
}

/// Defines a service. Each method is `unary`, `server_streaming` or `bidirectional`.
macro_rules! service {
    (
        $(#[$doc:meta])*
        $full_name:literal: $service:ident, $client:ident, $server:ident {
            $(
                $(#[$method_doc:meta])*
                $kind:ident $method:ident = $method_name:literal ($request:ty) -> $answer:ty;
            )+
        }
    ) => {
        $(#[$doc])*
        ///
        /// Implement this for the server's side and wrap it in the server type.
        #[::tonic::async_trait]
        pub trait $service: Send + Sync + 'static {
            $(
                $(#[$method_doc])*
                async fn $method(
                    &self,
                    request: server_request!($kind $request),
                ) -> Result<server_answer!($kind $answer), ::tonic::Status>;
            )+
        }

        /// The client's side of the service of the same name.
        #[derive(Clone, Debug)]
        pub struct $client<T> {
            inner: ::tonic::client::Grpc<T>,
        }

        impl<T> $client<T>
        where
            T: ::tonic::client::GrpcService<::tonic::body::Body>,
            T::Error: Into<::tonic::codegen::StdError>,
            T::ResponseBody: ::tonic::codegen::Body<Data = ::tonic::codegen::Bytes> + Send + 'static,
            <T::ResponseBody as ::tonic::codegen::Body>::Error: Into<::tonic::codegen::StdError> + Send,
        {
            /// A client over a connection.
            pub fn new(connection: T) -> Self {
                Self { inner: ::tonic::client::Grpc::new(connection) }
            }

            /// The largest answer to accept, in bytes (4 MiB unless set).
            pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
                self.inner = self.inner.max_decoding_message_size(limit);
                self
            }

            /// The largest request to send, in bytes (without limit unless set).
            pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
                self.inner = self.inner.max_encoding_message_size(limit);
                self
            }

            $(
                $(#[$method_doc])*
                pub async fn $method(
                    &mut self,
                    request: client_request!($kind $request),
                ) -> Result<client_answer!($kind $answer), ::tonic::Status> {
                    self.inner.ready().await.map_err(|e| {
                        ::tonic::Status::unavailable(format!("service was not ready: {}", e.into()))
                    })?;
                    let mut request = into_request!($kind request);
                    request.extensions_mut().insert(::tonic::GrpcMethod::new($full_name, $method_name));
                    let path = ::tonic::codegen::http::uri::PathAndQuery::from_static(
                        concat!("/", $full_name, "/", $method_name),
                    );
                    let codec = ::tonic_prost::ProstCodec::<$request, $answer>::default();
                    grpc_call!($kind self.inner, request, path, codec)
                }
            )+
        }

        /// The server's side of the service of the same name, to be added to a tonic server.
        #[derive(Debug)]
        pub struct $server<S> {
            service: ::std::sync::Arc<S>,
            max_decoding: Option<usize>,
            max_encoding: Option<usize>,
        }

        impl<S> Clone for $server<S> {
            fn clone(&self) -> Self {
                Self {
                    service: self.service.clone(),
                    max_decoding: self.max_decoding,
                    max_encoding: self.max_encoding,
                }
            }
        }

        impl<S: $service> $server<S> {
            /// A server of this implementation.
            pub fn new(service: S) -> Self {
                Self::from_arc(::std::sync::Arc::new(service))
            }

            /// A server of a shared implementation.
            pub fn from_arc(service: ::std::sync::Arc<S>) -> Self {
                Self { service, max_decoding: None, max_encoding: None }
            }

            /// The largest request to accept, in bytes (4 MiB unless set).
            pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
                self.max_decoding = Some(limit);
                self
            }

            /// The largest answer to send, in bytes (without limit unless set).
            pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
                self.max_encoding = Some(limit);
                self
            }
        }

        impl<S> ::tonic::server::NamedService for $server<S> {
            const NAME: &'static str = $full_name;
        }

        impl<S, B> ::tonic::codegen::Service<::tonic::codegen::http::Request<B>> for $server<S>
        where
            S: $service,
            B: ::tonic::codegen::Body + Send + 'static,
            B::Error: Into<::tonic::codegen::StdError> + Send + 'static,
        {
            type Response = ::tonic::codegen::http::Response<::tonic::body::Body>;
            type Error = ::std::convert::Infallible;
            type Future = ::tonic::codegen::BoxFuture<Self::Response, Self::Error>;

            fn poll_ready(
                &mut self,
                _: &mut ::tonic::codegen::Context<'_>,
            ) -> ::tonic::codegen::Poll<Result<(), Self::Error>> {
                ::tonic::codegen::Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: ::tonic::codegen::http::Request<B>) -> Self::Future {
                let server = self.clone();
                Box::pin(async move {
                    $(
                        if request.uri().path() == concat!("/", $full_name, "/", $method_name) {
                            struct Method<S>(::std::sync::Arc<S>);
                            grpc_service!($kind $service $method $request, $answer);
                            let codec = ::tonic_prost::ProstCodec::<$answer, $request>::default();
                            let mut grpc = ::tonic::server::Grpc::new(codec)
                                .apply_max_message_size_config(server.max_decoding, server.max_encoding);
                            return Ok(grpc_call!($kind grpc, Method(server.service), request));
                        }
                    )+
                    Ok(::tonic::Status::unimplemented("no such method").into_http())
                })
            }
        }
    };
}

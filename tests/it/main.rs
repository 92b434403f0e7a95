//! Everything that needs a real nats-server and a real node, in one binary.

mod attacks;
mod crash;
mod foreign;
mod hostile;
mod leaf;
mod lifecycle;
mod messages;
mod tidy;
mod vocabulary;

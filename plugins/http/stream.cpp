// SPDX-License-Identifier: Apache-2.0
// Streams over Asio and OpenSSL, and the contexts of tls.hpp. Asio's TLS is compiled here, once.
#include "plugins/http/stream.hpp"

#include "plugins/http/address_text.hpp"
#include "plugins/http/tls.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <utility>

namespace uidnfs::plugins::http {

class TlsContext {
public:
    boost::asio::ssl::context context{boost::asio::ssl::context::tls_server};
};

namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;
using boost::system::error_code;

Socket adopt(core::Reactor& reactor, core::Fd fd, int family) {
    Socket socket(reactor.io());
    const int protocol = family == AF_UNIX ? 0 : IPPROTO_TCP;
    error_code error;
    socket.assign({family, protocol}, fd.get(), error);
    if (!error) (void)fd.release();
    return socket;
}

std::string address_of(int fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    if (::getpeername(fd, address, &size) != 0) return "unknown";
    if (auto text = address_text(storage)) return std::move(*text);
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return "unknown";
    return fmt::format("uid {} pid {}", credentials.uid, credentials.pid);
}

void close_socket(Socket& socket) {
    error_code ignored;
    socket.close(ignored);
}

class PlainStream final : public Stream {
public:
    PlainStream(core::Reactor& reactor, core::Fd fd, int family)
        : reactor_(reactor), socket_(adopt(reactor, std::move(fd), family)) {}

    void handshake(std::function<void(error_code)> done) override {
        reactor_.post([done = std::move(done)] { done({}); });
    }
    void read(std::span<char> buffer, Done done) override {
        socket_.async_read_some(asio::buffer(buffer.data(), buffer.size()), std::move(done));
    }
    void write(std::span<const char> bytes, Done done) override {
        asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()), std::move(done));
    }
    void finish() override {
        error_code ignored;
        socket_.shutdown(Socket::shutdown_send, ignored);
    }
    void close() override { close_socket(socket_); }
    std::string peer() const override {
        return address_of(const_cast<Socket&>(socket_).native_handle());
    }

private:
    core::Reactor& reactor_;
    Socket socket_;
};

class TlsStream final : public Stream {
public:
    TlsStream(core::Reactor& reactor, core::Fd fd, int family, std::shared_ptr<TlsContext> context)
        : context_(std::move(context)),
          stream_(adopt(reactor, std::move(fd), family), context_->context) {}

    void handshake(std::function<void(error_code)> done) override {
        stream_.async_handshake(asio::ssl::stream_base::server, std::move(done));
    }
    void read(std::span<char> buffer, Done done) override {
        stream_.async_read_some(asio::buffer(buffer.data(), buffer.size()), std::move(done));
    }
    void write(std::span<const char> bytes, Done done) override {
        asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()), std::move(done));
    }
    void finish() override {
        // Answers have a length, so nobody needs a close_notify to know that one is complete.
        error_code ignored;
        stream_.next_layer().shutdown(Socket::shutdown_send, ignored);
    }
    void close() override { close_socket(stream_.next_layer()); }
    std::string peer() const override {
        auto& stream = const_cast<asio::ssl::stream<Socket>&>(stream_);
        std::string name = "unknown";
        if (X509* certificate = ::SSL_get0_peer_certificate(stream.native_handle())) {
            std::array<char, 256> subject{};
            ::X509_NAME_oneline(
                ::X509_get_subject_name(certificate), subject.data(), subject.size()
            );
            name = subject.data();
        }
        return fmt::format("{}, {}", name, address_of(stream.next_layer().native_handle()));
    }

private:
    std::shared_ptr<TlsContext> context_;
    asio::ssl::stream<Socket> stream_;
};

core::Failure unusable(
    std::string_view key,
    const std::string& file,
    const error_code& error,
    std::string_view what = "a PEM file"
) {
    return {
        EINVAL,
        fmt::format(
            "cannot use {} = \"{}\" for TLS: {}; it must be {} that the service can read",
            key,
            file,
            error.message(),
            what
        )};
}

}  // namespace

std::unique_ptr<Stream> make_plain_stream(core::Reactor& reactor, core::Fd socket, int family) {
    return std::make_unique<PlainStream>(reactor, std::move(socket), family);
}

std::unique_ptr<Stream> make_tls_stream(
    core::Reactor& reactor, core::Fd socket, int family, std::shared_ptr<TlsContext> context
) {
    return std::make_unique<TlsStream>(reactor, std::move(socket), family, std::move(context));
}

core::Outcome<std::shared_ptr<TlsContext>> make_tls_context(const TlsFiles& files) {
    auto made = std::make_shared<TlsContext>();
    auto& context = made->context;
    ::SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
    // A session that is resumed would skip the certificate of a client that was locked out since.
    ::SSL_CTX_set_session_cache_mode(context.native_handle(), SSL_SESS_CACHE_OFF);
    ::SSL_CTX_set_options(context.native_handle(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    error_code error;
    context.load_verify_file(files.ca_file, error);
    if (error) return unusable("ca_file", files.ca_file, error);
    context.use_certificate_chain_file(files.cert_file, error);
    if (error) return unusable("cert_file", files.cert_file, error);
    context.use_private_key_file(files.key_file, asio::ssl::context::pem, error);
    if (error) {
        return unusable("key_file", files.key_file, error, "the PEM file of cert_file's key");
    }
    context.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
    if (error) return unusable("ca_file", files.ca_file, error);
    return made;
}

}  // namespace uidnfs::plugins::http

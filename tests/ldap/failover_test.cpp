// SPDX-License-Identifier: Apache-2.0
// Servers that are down, silent, slow or broken: the time that is paid, and who answers instead.
#include "core/fd.hpp"
#include "ldap/fixture.hpp"
#include "ldap/own_world.hpp"
#include "ldap/relay.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>

namespace uidnfs::test {
namespace {

using testing::HasSubstr;
using State = Directory::Server::State;

/// What a loaded machine may add to a deadline.
constexpr auto kSlack = 1500ms;

ldap::Options options_with(const std::vector<std::string>& urls, ldap::Duration timeout = 1000ms) {
    auto options = options_for(shared_slapd());
    options.urls = urls;
    options.timeout = timeout;
    return options;
}

std::string nobody_listens() { return fmt::format("ldap://127.0.0.1:{}", free_port()); }

TEST(FailOver, FirstServerIsDown) {
    Directory directory(options_with({nobody_listens(), shared_slapd().url()}, 10s));
    const auto took = timed([&] {
        const auto alice = ask(directory, "alice");
        ASSERT_TRUE(alice) << alice.error().operator_text;
        EXPECT_EQ(alice->server, shared_slapd().url());
    });
    EXPECT_LT(took, 2s) << "a refused connection costs no share of the time";
    EXPECT_EQ(directory.servers()[0].state, State::down);
    EXPECT_THAT(directory.servers()[0].reason, HasSubstr("Connection refused"));
    EXPECT_EQ(directory.servers()[1].state, State::up);
}

TEST(FailOver, NameThatDoesNotExist) {
    Directory directory(options_with({"ldap://no-such-host.invalid", shared_slapd().url()}, 6s));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
}

/// A directory that takes the service's bind and answers the search after it with `flood`, again
/// and again; `%` in it is the message's id.
class TalkativeServer {
public:
    explicit TalkativeServer(std::string flood)
        : flood_(std::move(flood)), talker_([this] { talk(); }) {}
    ~TalkativeServer() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        talker_.join();
    }
    std::string url() const { return fmt::format("ldap://127.0.0.1:{}", port_); }

private:
    void talk() {
        const core::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        const char bound[] = {'0', 12, 2, 1, next_id(client.get()), 'a', 7, 10, 1, 0, 4, 0, 4, 0};
        ::send(client.get(), bound, sizeof bound, MSG_NOSIGNAL);
        std::ranges::replace(flood_, '%', next_id(client.get()));
        std::string much;
        while (much.size() < 100'000) much += flood_;
        while (::send(client.get(), much.data(), much.size(), MSG_NOSIGNAL) > 0) {
        }
    }
    /// Of the message that comes.
    static char next_id(int client) {
        char message[4096]{};
        if (::recv(client, message, sizeof message, 0) < 5) return 0;
        const int bytes_of_length = message[1] & 0x80 ? message[1] & 0x7f : 0;
        return message[4 + bytes_of_length];
    }
    static core::Fd listen_on_free_port(std::uint16_t& port) {
        core::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* raw = reinterpret_cast<sockaddr*>(&address);
        ::bind(fd.get(), raw, size);
        ::listen(fd.get(), 4);
        ::getsockname(fd.get(), raw, &size);
        port = ntohs(address.sin_port);
        return fd;
    }

    std::string flood_;
    std::uint16_t port_ = 0;
    core::Fd listener_ = listen_on_free_port(port_);
    std::thread talker_;
};

/// What cannot be an answer is not gathered until the time is over.
void expect_short_work(std::string flood, std::string_view kind) {
    TalkativeServer server(std::move(flood));
    Directory directory(options_with({server.url()}, 2s));
    const auto took = timed([&] { EXPECT_EQ(outcome(ask(directory, "alice")), kind); });
    EXPECT_LT(took, 1s);
}

TEST(FailOver, EntriesWithoutEnd) {
    expect_short_work(std::string("0\x0f\x02\x01%d\x0a\x04\x06uid=al0\0", 17), "ambiguous");
}

TEST(FailOver, AnEntryOfAGigabyte) {
    expect_short_work(
        std::string("0\x84\x40\0\0\0\x02\x01%d\x84\x3f\xff\xff\xf0", 15), "unreachable"
    );
}

/// Takes questions to a resolver and answers none.
class SilentResolver {
public:
    SilentResolver() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(53);
        ::inet_pton(AF_INET, kAddress, &address.sin_addr);
        is_there_ =
            ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    static constexpr const char* kAddress = "127.53.53.53";
    bool is_there() const { return is_there_; }
    bool was_asked() const {
        char byte = 0;
        return ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) >= 0;
    }

private:
    core::Fd socket_;
    bool is_there_ = false;
};

TEST(FailOver, ResolverThatIsSilentCostsItsShare) {
    const SilentResolver resolver;
    if (!resolver.is_there()) GTEST_SKIP() << "no right to be a resolver";
    const TemporaryFolder folder;
    const auto file =
        folder.write("resolv.conf", fmt::format("nameserver {}\n", SilentResolver::kAddress));
    std::string server;
    std::string reason;
    const auto ran = run_with_file("/etc/resolv.conf", file, [&] {
        Directory directory(options_with({"ldap://a.name.example", shared_slapd().url()}));
        const auto took = timed([&] {
            const auto alice = ask(directory, "alice");
            ASSERT_TRUE(alice) << alice.error().operator_text;
            server = alice->server;
        });
        EXPECT_GE(took, 450ms);
        EXPECT_LT(took, 1000ms + kSlack);
        reason = directory.servers()[0].reason;
    });
    if (ran == OwnWorld::no_right) GTEST_SKIP() << "no right to make a mount namespace";
    EXPECT_TRUE(resolver.was_asked());
    EXPECT_EQ(server, shared_slapd().url());
    EXPECT_THAT(reason, HasSubstr("the resolver does not answer"));
}

TEST(FailOver, BlackHoleCostsItsShareOnce) {
    const Relay hole(shared_slapd().port(), Relay::Manner::swallow);
    Directory directory(options_with({hole.url(), shared_slapd().url()}));
    const auto first = timed([&] { EXPECT_EQ(outcome(ask(directory, "alice")), "ok"); });
    EXPECT_GE(first, 450ms);
    EXPECT_LT(first, 1000ms + kSlack);
    const auto second = timed([&] { EXPECT_EQ(outcome(ask(directory, "bob")), "ok"); });
    EXPECT_LT(second, 450ms) << "it is known to be down";
    EXPECT_THAT(directory.servers()[0].reason, HasSubstr("no answer within the time"));
}

TEST(FailOver, ConnectWithoutAnswer) {
    const FullQueue hole;
    Directory directory(options_with({hole.url(), shared_slapd().url()}));
    const auto took = timed([&] { EXPECT_EQ(outcome(ask(directory, "alice")), "ok"); });
    EXPECT_GE(took, 450ms);
    EXPECT_LT(took, 1000ms + kSlack);
}

TEST(FailOver, TlsHandshakeWithoutAnswer) {
    const Relay hole(shared_slapd().tls_port(), Relay::Manner::swallow);
    Directory directory(options_with({hole.tls_url(), shared_slapd().tls_url()}));
    const auto took = timed([&] { EXPECT_EQ(outcome(ask(directory, "alice")), "ok"); });
    EXPECT_LT(took, 1000ms + kSlack);
    EXPECT_THAT(directory.servers()[0].reason, HasSubstr("no TLS within the time"));
}

TEST(FailOver, AByteATimeIsNoAnswer) {
    const Relay plain(shared_slapd().port(), Relay::Manner::drip);
    const Relay secure(shared_slapd().tls_port(), Relay::Manner::drip);
    for (const auto& url : {plain.url(), secure.tls_url()}) {
        Directory directory(options_with({url, shared_slapd().url()}));
        const auto took = timed([&] { EXPECT_EQ(outcome(ask(directory, "alice")), "ok") << url; });
        EXPECT_LT(took, 1000ms + kSlack);
        EXPECT_EQ(directory.servers()[0].state, State::down);
    }
}

TEST(FailOver, SlowServerIsUsedWhileItIsInTime) {
    Relay slow(shared_slapd().port(), Relay::Manner::delay);
    slow.set_delay(150ms);
    Directory alone(options_with({slow.url()}, 5s));
    EXPECT_EQ(outcome(ask(alone, "alice")), "ok");
    slow.set_delay(400ms);
    Directory directory(options_with({slow.url(), shared_slapd().url()}));
    const auto took = timed([&] { EXPECT_EQ(outcome(ask(directory, "alice")), "ok"); });
    EXPECT_LT(took, 1000ms + kSlack);
}

TEST(FailOver, NobodyAnswersInAllWithinTheTime) {
    const Relay one(shared_slapd().port(), Relay::Manner::swallow);
    const Relay two(shared_slapd().tls_port(), Relay::Manner::swallow);
    const FullQueue three;
    Directory directory(options_with({one.url(), two.tls_url(), three.url()}));
    const auto took = timed([&] {
        const auto answer = ask(directory, "alice");
        ASSERT_EQ(outcome(answer), "unreachable");
        EXPECT_THAT(
            answer.error().user_text,
            HasSubstr("LDAP server could not be reached, please contact your system administrator")
        );
        for (const auto& url : {one.url(), two.tls_url(), three.url()}) {
            EXPECT_THAT(answer.error().operator_text, HasSubstr(url));
        }
    });
    EXPECT_GE(took, 900ms);
    EXPECT_LT(took, 1000ms + kSlack);
}

TEST(FailOver, ManyQuestionsToNobodyEndInTimeToo) {
    const Relay hole(shared_slapd().port(), Relay::Manner::swallow);
    Directory directory(options_with({hole.url()}));
    std::atomic<int> unreachable = 0;
    std::promise<void> all;
    const auto took = timed([&] {
        for (int i = 0; i < 40; ++i) {
            directory.resolve(
                fmt::format("user{}", i),
                core::Secret("x"),
                [&](const Answer<Identity>& answer) {
                    if (!answer && answer.error().kind == FailureKind::unreachable &&
                        ++unreachable == 40) {
                        all.set_value();
                    }
                }
            );
        }
        EXPECT_EQ(all.get_future().wait_for(10s), std::future_status::ready);
    });
    EXPECT_LT(took, 1000ms + kSlack) << "those in the queue wait no longer than the others";
}

TEST(FailOver, ServerThatIsBackIsFoundAndPreferredAgain) {
    Relay first(shared_slapd().port(), Relay::Manner::cut);
    auto options = options_with({first.url(), shared_slapd().url()});
    options.cache = options.cache_stale = 0ms;
    Directory directory(std::move(options));
    EXPECT_EQ(ask(directory, "alice")->server, shared_slapd().url());
    first.set(Relay::Manner::pass);
    EXPECT_TRUE(eventually([&] { return ask(directory, "alice")->server == first.url(); }));
    EXPECT_EQ(directory.servers()[0].state, State::up);
}

TEST(FailOver, PooledConnectionsToAFrozenServer) {
    Slapd other({people(), {}, {}});
    auto options = options_with({other.url(), shared_slapd().url()});
    options.cache = options.cache_stale = 0ms;
    Directory directory(std::move(options));
    EXPECT_EQ(ask(directory, "alice")->server, other.url());
    other.freeze();
    const auto took =
        timed([&] { EXPECT_EQ(ask(directory, "alice")->server, shared_slapd().url()); });
    EXPECT_LT(took, 1000ms + kSlack);
    other.thaw();
    EXPECT_TRUE(eventually([&] { return ask(directory, "alice")->server == other.url(); }));
}

TEST(FailOver, ConnectionsThatTheServerClosedAreReplacedWithoutAWord) {
    Slapd other({people(), {}, {}});
    auto options = options_for(other);
    options.cache = options.cache_stale = 0ms;
    options.threads = 1;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    EXPECT_EQ(directory.counters().connects, 1u) << "connections are used again";
    other.stop();
    other.start();
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    EXPECT_EQ(directory.counters().connects, 2u);
    EXPECT_EQ(directory.servers()[0].state, State::up);
}

TEST(FailOver, ConnectionsThatAFirewallForgotAreReplacedInTime) {
    Relay relay(shared_slapd().port());
    auto options = options_with({relay.url()}, 3s);
    options.cache = options.cache_stale = 0ms;
    options.threads = 1;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    relay.forget_connections();
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok") << "by a new one";
    EXPECT_EQ(relay.connections(), 2);
    EXPECT_EQ(directory.servers()[0].state, State::up);
}

TEST(FailOver, UserIsNotTheServiceOnAConnectionThatIsUsedAgain) {
    auto options = options_for(shared_slapd());
    options.cache = options.cache_stale = 0ms;
    options.threads = 1;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    EXPECT_EQ(outcome(ask(directory, "bob", "wrong")), "bad_credentials");
    // Only the service may read entries: after a user's bind it must be the service's again.
    EXPECT_EQ(outcome(ask(directory, "carol")), "ok");
    EXPECT_EQ(directory.counters().connects, 1u);
}

TEST(FailOver, DestructionEndsWhatWaits) {
    const Relay hole(shared_slapd().tls_port(), Relay::Manner::swallow);
    std::promise<std::string> answer;
    auto directory =
        std::make_unique<Directory>(options_with({hole.tls_url(), hole.tls_url()}, 30s));
    directory->resolve("alice", core::Secret("x"), [&](const Answer<Identity>& said) {
        answer.set_value(outcome(said));
    });
    ASSERT_TRUE(eventually([&] { return hole.connections() > 0; }));
    const auto took = timed([&] { directory.reset(); });
    EXPECT_LT(took, 3s);
    EXPECT_EQ(answer.get_future().get(), "unreachable");
}

}  // namespace
}  // namespace uidnfs::test

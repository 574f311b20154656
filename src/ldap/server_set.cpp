// SPDX-License-Identifier: Apache-2.0
#include "ldap/server_set.hpp"

#include "core/log.hpp"
#include "ldap/failures.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace uidnfs::ldap {
namespace {

using std::chrono::steady_clock;

constexpr const char* kSystemCas = "/etc/ssl/certs/ca-certificates.crt";

/// libldap takes CAs from files only; this one exists in memory.
core::Fd file_in_memory(const std::string& text) {
    core::Fd fd(::memfd_create("uidnfs-ca", MFD_CLOEXEC));
    if (!fd) throw std::runtime_error("memfd_create failed");
    for (std::size_t done = 0; done < text.size();) {
        const auto n = ::write(fd.get(), text.data() + done, text.size() - done);
        if (n <= 0) throw std::runtime_error("cannot write to a memfd");
        done += static_cast<std::size_t>(n);
    }
    return fd;
}

using Reached = ServerSet::Result::Reached;

ServerTrouble trouble_of(const core::Failure& not_opened) {
    return {
        not_opened.user_text,
        not_opened.code == EPERM ? ServerTrouble::What::misconfigured : ServerTrouble::What::lost};
}

Reached reached_by(ServerTrouble::What what) {
    switch (what) {
        case ServerTrouble::What::lost:
        case ServerTrouble::What::busy: return Reached::none;
        case ServerTrouble::What::misconfigured:
        case ServerTrouble::What::refused: return Reached::refused;
        case ServerTrouble::What::this_user: return Reached::some;
    }
    return Reached::none;
}

ServerChoice::Why why_of(ServerTrouble::What what) {
    switch (what) {
        case ServerTrouble::What::misconfigured: return ServerChoice::Why::misconfigured;
        case ServerTrouble::What::refused: return ServerChoice::Why::refused;
        case ServerTrouble::What::lost:
        case ServerTrouble::What::busy:
        case ServerTrouble::What::this_user: break;
    }
    return ServerChoice::Why::unreachable;
}

/// What the servers say that were asked about one user and could not answer.
class Troubles {
public:
    void add(const std::string& url, const ServerTrouble& trouble, ServerSet::Result::Asked asked) {
        reached_ = std::max(reached_, reached_by(trouble.what));
        asked_ = std::max(asked_, asked);
        reasons_ += fmt::format("{}{}: {}", reasons_.empty() ? "" : "; ", url, trouble.why);
    }
    ServerSet::Result result(const std::string& user) const {
        const auto kind =
            reached_ == Reached::none ? FailureKind::unreachable : FailureKind::misconfigured;
        return {make_failure(kind, user, text(), reasons_), reached_, asked_};
    }

private:
    /// For the user.
    const char* text() const {
        switch (reached_) {
            case Reached::some: return "the LDAP server does not say everything about it";
            case Reached::refused:
                return "the LDAP server does not accept how this service is set up";
            case Reached::none: break;
        }
        return "LDAP server could not be reached, please contact your system administrator";
    }

    Reached reached_ = Reached::none;
    ServerSet::Result::Asked asked_ = ServerSet::Result::Asked::no;
    std::string reasons_;
};

/// REQUIRES: it is an answer.
Answer<Identity> answer_of(Said said, const std::string& url) {
    if (auto* failure = std::get_if<Failure>(&said)) {
        failure->operator_text += fmt::format(" (said by {})", url);
        return std::move(*failure);
    }
    auto identity = std::get<Identity>(std::move(said));
    identity.server = url;
    identity.verified_at = std::chrono::system_clock::now();
    return identity;
}

}  // namespace

ServerSet::ServerSet(const Options& options) : options_(options), choice_(options.urls.size()) {
    for (const auto& text : options.urls) {
        auto url = parse_server_url(text);
        if (!url) throw std::runtime_error(fmt::format("{}: {}", text, url.error().user_text));
        urls_.push_back(*std::move(url));
    }
    idle_.resize(urls_.size());
    tls_.ca_file = options.ca_file.empty() ? kSystemCas : options.ca_file;
    if (!options.ca_pem.empty()) {
        ca_memory_ = file_in_memory(options.ca_pem);
        tls_.ca_file = fmt::format("/proc/self/fd/{}", ca_memory_.get());
    }
    if (options.start_tls) tls_.start_tls = TlsSettings::StartTls::on;
    if (options.allow_plaintext) tls_.plaintext = TlsSettings::Plaintext::allowed;
}

ServerSet::~ServerSet() { stop(); }

Connection::Surroundings ServerSet::surroundings() {
    return {names_, alarms_, traffic_, tls_, stop_.get_token()};
}

void ServerSet::ask(const Question& question, core::SteadyTime deadline, const Deliver& deliver) {
    std::vector<std::size_t> order;
    {
        const std::lock_guard lock(mutex_);
        order = choice_.order();
    }
    Troubles troubles;
    std::size_t left = order.size();
    for (const auto server : order) {
        const auto until = ServerChoice::share(steady_clock::now(), deadline, left--);
        auto used = use(server, question, until);
        if (const auto* trouble = std::get_if<ServerTrouble>(&used.said)) {
            troubles.add(urls_[server].text, *trouble, used.asked);
            continue;
        }
        deliver({answer_of(std::move(used.said), urls_[server].text)});
        give_back(server, std::move(used.connection));
        return;
    }
    deliver(troubles.result(question.user));
}

ServerSet::Result ServerSet::ask_one(
    std::size_t server, const Question& question, core::SteadyTime deadline
) {
    auto used = use(server, question, deadline);
    if (const auto* trouble = std::get_if<ServerTrouble>(&used.said)) {
        Troubles troubles;
        troubles.add(urls_[server].text, *trouble, used.asked);
        return troubles.result(question.user);
    }
    give_back(server, std::move(used.connection));
    return {answer_of(std::move(used.said), urls_[server].text)};
}

ServerSet::Used ServerSet::use(
    std::size_t server, const Question& question, core::SteadyTime until
) {
    if (auto refusal = refused_a_moment_ago(server)) {
        return {*std::move(refusal), nullptr, Result::Asked::no};
    }
    auto used = use_idle_or_fresh(server, question, until);
    const auto* trouble = std::get_if<ServerTrouble>(&used.said);
    if (trouble == nullptr || trouble->what == ServerTrouble::What::this_user) {
        note_success(server);
    } else {
        note_trouble(server, *trouble);
    }
    return used;
}

ServerSet::Used ServerSet::use_idle_or_fresh(
    std::size_t server, const Question& question, core::SteadyTime until
) {
    if (auto connection = take_idle(server)) {
        connection->arm(until);
        auto said = converse(*connection, options_, question);
        const auto* trouble = std::get_if<ServerTrouble>(&said);
        if (trouble == nullptr) {
            connection->disarm();
            return {std::move(said), std::move(connection)};
        }
        // Closed while it was idle says nothing about the server: once more with a new one.
        const bool closed = trouble->what == ServerTrouble::What::lost;
        if (!closed || steady_clock::now() >= until) return {std::move(said)};
    }
    return use_fresh(server, question, until);
}

ServerSet::Used ServerSet::use_fresh(
    std::size_t server, const Question& question, core::SteadyTime until
) {
    auto opened = Connection::open(urls_[server], surroundings(), until);
    if (!opened) return {trouble_of(opened.error())};
    auto connection = std::move(*opened);
    auto said = converse(*connection, options_, question);
    if (auto* trouble = std::get_if<ServerTrouble>(&said)) {
        if (trouble->what == ServerTrouble::What::lost && steady_clock::now() >= until) {
            trouble->why = "no answer within the time";
        }
        return {std::move(said)};
    }
    connection->disarm();
    return {std::move(said), std::move(connection)};
}

std::unique_ptr<Connection> ServerSet::take_idle(std::size_t server) {
    while (true) {
        Idle idle;
        {
            const std::lock_guard lock(mutex_);
            if (idle_[server].empty()) return nullptr;
            idle = std::move(idle_[server].back());
            idle_[server].pop_back();
        }
        if (steady_clock::now() - idle.since < kLongestIdle && !idle.connection->is_stale()) {
            return std::move(idle.connection);
        }
    }
}

void ServerSet::give_back(std::size_t server, std::unique_ptr<Connection> connection) {
    if (!connection || stop_.stop_requested()) return;
    if (connection->bound != Connection::Bound::service) {
        connection->arm(steady_clock::now() + options_.timeout);
        if (bind_service(*connection, options_)) return;
        connection->disarm();
    }
    Idle spare;  // dies after the lock is free: closing is I/O
    const std::lock_guard lock(mutex_);
    if (idle_[server].size() >= options_.threads) {
        spare = std::move(idle_[server].front());
        idle_[server].erase(idle_[server].begin());
    }
    idle_[server].push_back({std::move(connection), steady_clock::now()});
}

std::optional<std::size_t> ServerSet::next_probe() {
    const std::lock_guard lock(mutex_);
    if (stop_.stop_requested()) return std::nullopt;
    return choice_.next_probe(steady_clock::now());
}

void ServerSet::probe(std::size_t server) {
    const auto until = steady_clock::now() + options_.timeout;
    auto opened = Connection::open(urls_[server], surroundings(), until);
    if (!opened) return note_trouble(server, trouble_of(opened.error()));
    auto connection = std::move(*opened);
    if (auto trouble = bind_service(*connection, options_)) return note_trouble(server, *trouble);
    connection->disarm();
    note_success(server);
    give_back(server, std::move(connection));
}

std::optional<ServerTrouble> ServerSet::refused_a_moment_ago(std::size_t server) const {
    const std::lock_guard lock(mutex_);
    if (!choice_.is_left_alone(server, steady_clock::now(), options_.negative_cache)) return {};
    return ServerTrouble{choice_.reason(server), ServerTrouble::What::refused};
}

void ServerSet::note_success(std::size_t server) {
    const std::lock_guard lock(mutex_);
    if (choice_.succeeded(server) == ServerChoice::Change::came_up) {
        core::log::info("directory server {} answers again", urls_[server].text);
    }
}

void ServerSet::note_trouble(std::size_t server, const ServerTrouble& trouble) {
    if (stop_.stop_requested()) return;
    std::vector<Idle> idle;  // dies after the lock is free: closing is I/O
    const std::lock_guard lock(mutex_);
    const auto change =
        choice_.failed(server, steady_clock::now(), trouble.why, why_of(trouble.what));
    if (change == ServerChoice::Change::went_down) {
        core::log::warning(
            "directory server {} cannot be used: {}", urls_[server].text, trouble.why
        );
    }
    idle_[server].swap(idle);
}

void ServerSet::stop() {
    stop_.request_stop();
    alarms_.stop();
    std::vector<std::vector<Idle>> idle(urls_.size());
    const std::lock_guard lock(mutex_);
    idle_.swap(idle);
}

bool ServerSet::all_unreachable() const {
    const std::lock_guard lock(mutex_);
    return choice_.all_unreachable();
}

std::vector<Directory::Server> ServerSet::servers() const {
    const std::lock_guard lock(mutex_);
    std::vector<Directory::Server> all;
    for (std::size_t i = 0; i < urls_.size(); ++i) {
        Directory::Server server{urls_[i].text};
        switch (choice_.state(i)) {
            case ServerChoice::State::untried: break;
            case ServerChoice::State::up: server.state = Directory::Server::State::up; break;
            case ServerChoice::State::down:
                server.state = Directory::Server::State::down;
                server.reason = choice_.reason(i);
                break;
        }
        all.push_back(std::move(server));
    }
    return all;
}

}  // namespace uidnfs::ldap

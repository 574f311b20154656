// SPDX-License-Identifier: Apache-2.0
#include "ldap/directory.hpp"

#include "core/log.hpp"
#include "ldap/cache.hpp"
#include "ldap/cache_file.hpp"
#include "ldap/failures.hpp"
#include "ldap/flight.hpp"
#include "ldap/hash.hpp"
#include "ldap/server_set.hpp"
#include "ldap/thread_pool.hpp"

#include <fmt/format.h>
#include <ldap.h>
#include <stdlib.h>

#include <cerrno>
#include <condition_variable>
#include <future>
#include <mutex>

namespace uidnfs::ldap {
namespace {

using std::chrono::steady_clock;

/// Hashes at a time: 16 MiB each.
constexpr std::size_t kHashers = 2;
/// How long changes of the cache gather before they are written.
constexpr std::chrono::seconds kSaveDelay{2};

/// What a recheck finds that ends an identity.
bool is_of_the_user(FailureKind kind) {
    switch (kind) {
        case FailureKind::no_such_user:
        case FailureKind::ambiguous:
        case FailureKind::account_disabled:
        case FailureKind::no_uid:
        case FailureKind::not_allowed: return true;
        case FailureKind::bad_credentials:
        case FailureKind::unreachable:
        case FailureKind::misconfigured: return false;
    }
    return false;
}

}  // namespace

void prepare_process() {
    static std::once_flag once;
    std::call_once(once, [] {
        ::setenv("LDAPNOINIT", "1", 1);
        // libldap reads its environment once, at the first call; and its TLS is made ready here,
        // while nobody else can be in it.
        int version = LDAP_VERSION3;
        ldap_set_option(nullptr, LDAP_OPT_PROTOCOL_VERSION, &version);
        const int client = 0;
        ldap_set_option(nullptr, LDAP_OPT_X_TLS_NEWCTX, &client);
    });
}

/// The way of a question: cache (after a hash, on `hashers_`), servers (on `lookups_`), cache.
class Directory::Impl {
public:
    explicit Impl(Options options)
        : options_(std::move(options)),
          servers_(options_),
          cache_({options_.cache, options_.negative_cache, options_.cache_stale}),
          lookups_(options_.threads),
          hashers_(kHashers),
          background_(1) {
        load_cache();
    }

    ~Impl() {
        servers_.stop();
        {
            std::unique_lock lock(mutex_);
            landed_.wait(lock, [this] { return flights_.empty(); });
        }
        saver_.stop();
        lookups_.finish();
        hashers_.finish();
        background_.finish();
        if (const auto saved = save(); !saved) {
            core::log::warning("identities are not kept: {}", saved.error().operator_text);
        }
    }

    void resolve(std::string user, core::Secret password, Done done) {
        if (!is_possible_name(user)) return done(impossible_name(user));
        if (!options_.verify_password) {
            password = core::Secret();
        } else if (password.empty()) {
            return done(empty_password(user));
        }
        auto known = join_or_begin(std::move(user), std::move(password), done);
        if (known) done(*std::move(known));
    }

    Answer<Identity> look_up(const std::string& user, std::size_t server) {
        if (!is_possible_name(user)) return impossible_name(user);
        const auto deadline = steady_clock::now() + options_.timeout;
        std::promise<Answer<Identity>> promise;
        lookups_.post([&] {
            auto result = servers_.ask_one(server, {user}, deadline);
            count(result);
            promise.set_value(std::move(result.answer));
        });
        auto answer = promise.get_future().get();
        const std::lock_guard lock(mutex_);
        if (answer) {
            cache_.drop_unless(*answer);
        } else if (is_of_the_user(answer.error().kind)) {
            cache_.drop(user);
            flights_.forget(user);
        }
        return answer;
    }

    core::Outcome<void> save() {
        if (options_.cache_file.empty()) return core::Outcome<void>();
        const std::lock_guard one_at_a_time(saving_);
        std::vector<Identity> identities;
        {
            const std::lock_guard lock(mutex_);
            if (changes_ == Changes::none) return core::Outcome<void>();
            changes_ = Changes::none;
            for (auto& [identity, age] : cache_.identities(steady_clock::now())) {
                identities.push_back(std::move(identity));
            }
        }
        return save_file(options_.cache_file, write_identities(identities, fingerprint(options_)));
    }

    Counters counters() const {
        const auto& traffic = servers_.traffic();
        Counters counters;
        counters.lookups = lookup_count_;
        for (std::size_t i = 0; i < kFailureKinds; ++i) counters.failures[i] = failures_[i];
        counters.successes = successes_;
        counters.cache_hits = cache_hits_;
        counters.stale_hits = stale_hits_;
        counters.shared = shared_;
        counters.hashes = hashes_;
        counters.hash_us = hash_us_;
        counters.connects = traffic.connects;
        counters.binds = traffic.binds;
        counters.searches = traffic.searches;
        return counters;
    }
    std::vector<Server> servers() const { return servers_.servers(); }

private:
    using FlightRef = std::shared_ptr<Flight>;

    /// An answer that is known; or nothing, and `done` is called later.
    std::optional<Answer<Identity>> join_or_begin(
        std::string user, core::Secret password, const Done& done
    ) {
        const auto now = steady_clock::now();
        const std::lock_guard lock(mutex_);
        if (const auto flight = flights_.find(user, password)) {
            ++shared_;
            if (flight->answer) return flight->answer;
            flight->waiting.push_back(done);
            return std::nullopt;
        }
        if (auto failure = cache_.failure_of(user, now)) {
            ++cache_hits_;
            return Answer<Identity>(*std::move(failure));
        }
        std::optional<Identity> stale;
        if (!options_.verify_password) {
            auto judged = cache_.judge(user, nullptr, now);
            if (auto* fresh = std::get_if<Cache::Fresh>(&judged)) {
                ++cache_hits_;
                return Answer<Identity>(std::move(fresh->identity));
            }
            if (auto* old = std::get_if<Cache::Stale>(&judged)) stale = std::move(old->identity);
        }
        const bool hash_first =
            options_.verify_password && cache_.passwords_of(user, now) == Cache::Passwords::some;
        FlightRef flight(new Flight{
            std::move(user), std::move(password), now + options_.timeout, {done}});
        flight->stale = std::move(stale);
        flights_.add(flight);
        if (hash_first) {
            hashers_.post([this, flight] { consult_cache(flight); });
        } else {
            begin_lookup(flight);
        }
        return std::nullopt;
    }

    /// On a hasher.
    void consult_cache(const FlightRef& flight) {
        // With many hashes in the queue the directory is the quicker one to ask.
        if (steady_clock::now() + options_.timeout / 2 >= flight->deadline) {
            return begin_lookup(flight);
        }
        if (auto answer = judge(*flight)) return end(flight, *answer);
        begin_lookup(flight);
    }

    /// On a hasher, after it: nobody could be asked, so it is worth the wait.
    void consult_cache_at_last(const FlightRef& flight, const Answer<Identity>& failure) {
        if (steady_clock::now() < flight->deadline) {
            if (auto answer = judge(*flight)) return end(flight, *answer);
        }
        end(flight, flight->stale ? serve_stale(*flight, failure.error().operator_text) : failure);
    }

    /// What the cache says of this password; of an identity that is old the flight knows then.
    std::optional<Answer<Identity>> judge(Flight& flight) {
        hash(flight);
        Cache::Judgement judged;
        if (flight.hash) {
            const std::lock_guard lock(mutex_);
            judged = cache_.judge(flight.user, &*flight.hash, steady_clock::now());
        }
        if (auto* fresh = std::get_if<Cache::Fresh>(&judged)) {
            ++cache_hits_;
            return std::move(fresh->identity);
        }
        if (auto* rejected = std::get_if<Cache::Rejected>(&judged)) {
            ++cache_hits_;
            return std::move(rejected->failure);
        }
        if (auto* stale = std::get_if<Cache::Stale>(&judged)) {
            flight.stale = std::move(stale->identity);
        }
        return std::nullopt;
    }

    /// Whether its password was not looked at, because others were before it.
    bool may_be_cached(const Flight& flight, core::SteadyTime now) {
        if (!options_.verify_password || flight.hash) return false;
        const std::lock_guard lock(mutex_);
        return cache_.passwords_of(flight.user, now) == Cache::Passwords::some;
    }

    void begin_lookup(const FlightRef& flight) {
        lookups_.post([this, flight] { look_up(flight); });
    }

    /// On a thread for lookups.
    void look_up(const FlightRef& flight) {
        // With nobody there, who has an identity need not wait for the time-out of each server;
        // probes find out when there is somebody.
        if (flight->stale && servers_.all_unreachable()) {
            begin_probes();
            return end(flight, serve_stale(*flight, "every server was down a moment ago"));
        }
        if (steady_clock::now() >= flight->deadline) return end(flight, too_busy(*flight));
        const Question question{
            flight->user, options_.verify_password ? &flight->password : nullptr};
        servers_.ask(question, flight->deadline, [&](ServerSet::Result result) {
            conclude(flight, std::move(result));
        });
        begin_probes();
    }

    void conclude(const FlightRef& flight, ServerSet::Result result) {
        const auto now = steady_clock::now();
        auto& answer = result.answer;
        count(result);
        switch (result.reached) {
            case ServerSet::Result::Reached::none:
                if (flight->stale) {
                    return end(flight, serve_stale(*flight, answer.error().operator_text));
                }
                if (!may_be_cached(*flight, now)) return end(flight, answer);
                hashers_.post([this, flight, answer] { consult_cache_at_last(flight, answer); });
                return;
            // Nothing was said of the user, so nothing is remembered of it. Nor is it of all users:
            // only a login that is refused may not be tried again at once, and ServerSet sees to
            // that.
            case ServerSet::Result::Reached::refused: return end(flight, answer);
            case ServerSet::Result::Reached::some: break;
        }
        if (answer && !answer->left_out.empty()) {
            core::log::info(
                "user {} is in more groups than it acts with: {}",
                quoted(flight->user),
                describe(*answer)
            );
        }
        // A password's result needs a hash to be kept; those who wait do not wait for that.
        const bool needs_hash = options_.verify_password && is_kept(answer);
        if (!needs_hash || flight->hash) {
            remember(*flight, answer, now);
            return end(flight, std::move(answer));
        }
        deliver(flight, answer);
        hashers_.post([this, flight, answer, now] {
            hash(*flight);
            if (flight->hash) remember(*flight, answer, now);
            land(flight);
        });
    }

    void count(const ServerSet::Result& result) {
        if (result.asked == ServerSet::Result::Asked::no) return;
        ++lookup_count_;
        if (result.answer) {
            ++successes_;
        } else {
            ++failures_[static_cast<std::size_t>(result.answer.error().kind)];
        }
    }

    /// Together with a hash of the password.
    bool is_kept(const Answer<Identity>& answer) const {
        constexpr Duration kNot{0};
        if (answer) return options_.cache > kNot || options_.cache_stale > kNot;
        return answer.error().kind == FailureKind::bad_credentials &&
               options_.negative_cache > kNot;
    }

    /// REQUIRES: a server spoke of this user.
    void remember(const Flight& flight, const Answer<Identity>& answer, core::SteadyTime at) {
        const std::lock_guard lock(mutex_);
        if (flight.keep == Flight::Keep::no) return;
        if (answer) {
            cache_.store(*answer, flight.hash, at);
        } else if (answer.error().kind != FailureKind::bad_credentials) {
            // Whatever the password was. `misconfigured` as well: more groups than are said at
            // once, or an entry that cannot log in this way, is this one user's matter.
            cache_.refuse(flight.user, answer.error(), at);
        } else if (flight.hash) {
            cache_.reject(flight.user, *flight.hash, answer.error(), at);
        } else {
            return;
        }
        save_soon();
    }

    /// REQUIRES: mutex_ is held.
    void save_soon() {
        if (options_.cache_file.empty() || changes_ == Changes::some) return;
        changes_ = Changes::some;
        saver_.set(steady_clock::now() + kSaveDelay, [this] {
            background_.post([this] {
                if (const auto saved = save(); !saved) {
                    core::log::warning("identities are not kept: {}", saved.error().operator_text);
                }
            });
        });
    }

    void hash(Flight& flight) {
        const auto begin = steady_clock::now();
        flight.hash = hasher_.hash(flight.user, flight.password);
        hash_us_ += static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - begin)
                .count()
        );
        ++hashes_;
        if (!flight.hash) core::log::warning("no memory to hash a password for the cache");
    }

    Answer<Identity> serve_stale(const Flight& flight, std::string_view why) {
        ++stale_hits_;
        const auto age = std::chrono::duration_cast<std::chrono::seconds>(
            std::chrono::system_clock::now() - flight.stale->verified_at
        );
        core::log::warning(
            "stale identity used: user {} is {}, verified {} s ago, for no directory server can "
            "be reached: {}",
            quoted(flight.user),
            describe(*flight.stale),
            age.count(),
            why
        );
        return *flight.stale;
    }

    Failure too_busy(const Flight& flight) const {
        return make_failure(
            FailureKind::unreachable,
            flight.user,
            "LDAP server could not be reached, please contact your system administrator",
            "the time was over before it was this question's turn: too many at once, or servers "
            "that do not answer"
        );
    }

    void begin_probes() {
        while (const auto server = servers_.next_probe()) {
            background_.post([this, server = *server] { servers_.probe(server); });
        }
    }

    /// Answers those who wait; those who come later get the same answer until land().
    void deliver(const FlightRef& flight, const Answer<Identity>& answer) {
        std::vector<Done> waiting;
        {
            const std::lock_guard lock(mutex_);
            flight->answer = answer;
            waiting.swap(flight->waiting);
        }
        for (const auto& done : waiting) done(answer);
    }

    void land(const FlightRef& flight) {
        const std::lock_guard lock(mutex_);
        flights_.remove(flight);
        landed_.notify_all();
    }

    /// Nothing is left to be done: who comes later begins anew.
    void end(const FlightRef& flight, const Answer<Identity>& answer) {
        std::vector<Done> waiting;
        {
            const std::lock_guard lock(mutex_);
            flights_.remove(flight);
            landed_.notify_all();
            waiting.swap(flight->waiting);
        }
        for (const auto& done : waiting) done(answer);
    }

    void load_cache();

    const Options options_;
    ServerSet servers_;
    const PasswordHasher hasher_;
    std::mutex mutex_;  ///< of what follows, up to the counters
    std::condition_variable landed_;
    Flights flights_;
    Cache cache_;
    enum class Changes { none, some } changes_ = Changes::none;
    std::mutex saving_;
    std::atomic<std::uint64_t> lookup_count_{0};
    std::atomic<std::uint64_t> successes_{0};
    std::array<std::atomic<std::uint64_t>, kFailureKinds> failures_{};
    std::atomic<std::uint64_t> cache_hits_{0};
    std::atomic<std::uint64_t> stale_hits_{0};
    std::atomic<std::uint64_t> shared_{0};
    std::atomic<std::uint64_t> hashes_{0};
    std::atomic<std::uint64_t> hash_us_{0};
    Alarms saver_;
    ThreadPool lookups_;
    ThreadPool hashers_;
    ThreadPool background_;
};

void Directory::Impl::load_cache() {
    if (options_.cache_file.empty()) return;
    auto text = load_file(options_.cache_file);
    if (!text) {
        if (text.error().code != ENOENT) {
            core::log::warning(
                "kept identities are not used: {}",
                text.error().operator_text.empty() ? text.error().user_text
                                                   : text.error().operator_text
            );
        }
        return;
    }
    auto identities = read_identities(*text, fingerprint(options_));
    if (!identities) {
        core::log::warning(
            "kept identities are not used: {}: {}",
            options_.cache_file,
            identities.error().user_text
        );
        return;
    }
    const auto now = steady_clock::now();
    const auto today = std::chrono::system_clock::now();
    for (auto& identity : *identities) {
        const auto age = today - identity.verified_at;
        if (age < age.zero()) continue;  // a clock was wrong; it may not make identities younger
        cache_.store(
            std::move(identity),
            std::nullopt,
            now - std::chrono::duration_cast<core::SteadyDuration>(age)
        );
    }
}

Directory::Directory(Options options)
    : impl_((prepare_process(), std::make_unique<Impl>(std::move(options)))) {}

Directory::~Directory() = default;

Answer<Identity> Directory::resolve(std::string user, core::Secret password) {
    std::promise<Answer<Identity>> promise;
    impl_->resolve(std::move(user), std::move(password), [&](Answer<Identity> answer) {
        promise.set_value(std::move(answer));
    });
    return promise.get_future().get();
}

void Directory::resolve(std::string user, core::Secret password, Done done) {
    impl_->resolve(std::move(user), std::move(password), std::move(done));
}

Answer<Identity> Directory::look_up(std::string user, std::size_t server) {
    return impl_->look_up(user, server);
}

core::Outcome<void> Directory::save_cache() { return impl_->save(); }
Directory::Counters Directory::counters() const { return impl_->counters(); }
std::vector<Directory::Server> Directory::servers() const { return impl_->servers(); }

}  // namespace uidnfs::ldap

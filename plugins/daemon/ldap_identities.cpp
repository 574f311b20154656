// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/ldap_identities.hpp"

#include "core/log.hpp"
#include "core/text.hpp"

#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <coroutine>
#include <optional>

namespace uidnfs::plugins {
namespace {

using Answer = ldap::Answer<ldap::Identity>;

/// One question: answered by the directory's thread, given up at the deadline or when nobody waits
/// any more; whichever is first resumes, on the reactor's thread.
struct Question : std::enable_shared_from_this<Question> {
    Question(core::Reactor& owner, core::SteadyTime deadline)
        : reactor(owner), timer(owner.io(), deadline) {}

    core::Reactor& reactor;
    boost::asio::steady_timer timer;
    std::optional<Answer> answer;
    enum class Life { asked, over } life = Life::asked;
    std::coroutine_handle<> waiter;
    std::optional<std::stop_callback<std::function<void()>>> on_unwanted;

    void finish() {
        if (life == Life::over) return;
        life = Life::over;
        timer.cancel();
        if (waiter) reactor.schedule(waiter);
    }
};

/// Until the question is over.
struct Over {
    Question& question;
    bool await_ready() const noexcept { return question.life == Question::Life::over; }
    void await_suspend(std::coroutine_handle<> coroutine) const noexcept {
        question.waiter = coroutine;
    }
    void await_resume() const noexcept {}
};

MountIdentity identity_of(const ldap::Identity& found, std::string user) {
    MountIdentity identity;
    identity.uid = found.uid.value();
    identity.gid = found.gid.value();
    for (const auto& group : found.groups) identity.gids.push_back(group.value());
    identity.from = "ldap";
    if (found.origin == ldap::Origin::stale_cache) {
        identity.freshness = MountIdentity::Freshness::stale;
    }
    identity.user = std::move(user);
    return identity;
}

}  // namespace

core::Task<core::Outcome<MountIdentity>> LdapIdentities::resolve(
    std::string user, core::Secret password, core::SteadyTime deadline, std::stop_token unwanted
) {
    // Kept while it is asked: a reload may replace it.
    const auto directory = directory_();
    if (!directory) {
        co_return core::Failure{
            ENOTSUP,
            "LDAP username is specified but LDAP is not configured: this service resolves no "
            "names; use uid and gid"};
    }
    const auto question = std::make_shared<Question>(reactor_, deadline);
    question->timer.async_wait([question](const boost::system::error_code& error) {
        if (!error) question->finish();
    });
    question->on_unwanted.emplace(unwanted, std::function<void()>([weak = std::weak_ptr(question)] {
                                      if (const auto asked = weak.lock()) asked->finish();
                                  }));
    directory->resolve(user, std::move(password), [&reactor = reactor_, question](Answer answer) {
        reactor.post([question, answer = std::move(answer)]() mutable {
            question->answer = std::move(answer);
            question->finish();
        });
    });
    co_await Over{*question};
    question->on_unwanted.reset();
    if (!question->answer) {
        co_return core::Failure{
            ETIMEDOUT, "the directory did not answer in time; try again, or ask the operator"};
    }
    const auto& answer = *question->answer;
    if (!answer) co_return ldap::to_core(answer.error());
    if (answer->origin == ldap::Origin::stale_cache || !answer->left_out.empty()) {
        core::log::warning("{}: {}", core::printable(user), ldap::describe(*answer));
    }
    co_return identity_of(*answer, std::move(user));
}

}  // namespace uidnfs::plugins

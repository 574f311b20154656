// SPDX-License-Identifier: Apache-2.0
#include "ldap/conversation.hpp"

#include "ldap/account.hpp"
#include "ldap/escape.hpp"
#include "ldap/failures.hpp"
#include "ldap/groups.hpp"

#include <fmt/format.h>
#include <ldap.h>

#include <set>

namespace uidnfs::ldap {
namespace {

/// More groups than anybody has: a filter that matches this many is wrong.
constexpr std::size_t kMostGroups = 10'000;

std::string describe_answer(int code, const std::string& text) {
    return text.empty() ? std::string(describe_code(code))
                        : fmt::format("{} ({})", describe_code(code), brief(text));
}

ServerTrouble trouble(const char* what, int code, const std::string& text) {
    const auto kind = code < 0 ? ServerTrouble::What::lost : ServerTrouble::What::busy;
    return {fmt::format("{}: {}", what, describe_answer(code, text)), kind};
}

/// A search that was answered with a refusal. Whom that concerns: everybody where the base, the
/// right to search or the like is missing, for those are the same for all users; and this one user
/// where a limit was met, which its own entries did, or where the base has its name.
ServerTrouble refused_search(
    const char* what, const std::string& base, int code, const std::string& text
) {
    const bool is_limit = code == LDAP_SIZELIMIT_EXCEEDED || code == LDAP_ADMINLIMIT_EXCEEDED;
    const bool is_own = is_limit || mentions(base, Placeholder::username);
    return {
        fmt::format("{}: {}", what, describe_answer(code, text)),
        is_own ? ServerTrouble::What::this_user : ServerTrouble::What::misconfigured};
}

/// One lookup on one connection.
class Conversation {
public:
    Conversation(Connection& connection, const Options& options, const Question& question)
        : connection_(connection), options_(options), question_(question) {}

    Said run() {
        if (connection_.bound != Connection::Bound::service) {
            if (auto failed = bind_service(connection_, options_)) return *failed;
        }
        if (auto stop = find_user()) return *stop;
        if (auto stop = check_account()) return *stop;
        if (auto stop = find_groups()) return *stop;
        if (question_.password != nullptr) {
            if (auto stop = verify_password()) return *stop;
        }
        return identity_;
    }

private:
    using Stop = std::optional<Said>;

    Failure fail(FailureKind kind, std::string_view why, std::string_view detail = {}) const {
        return make_failure(
            kind,
            question_.user,
            why,
            fmt::format(
                "{}{}{}",
                brief(user_.dn),
                user_.dn.empty() || detail.empty() ? "" : ": ",
                brief(detail)
            )
        );
    }

    Stop find_user() {
        const auto& names = options_.attributes;
        SearchAsk ask{
            expand_base(options_.user_base, question_.user),
            expand_filter(options_.user_filter, question_.user, {}),
            {names.uid, names.gid}};
        if (!names.member_of.empty()) ask.attributes.push_back(names.member_of);
        const auto logins = login_attributes(options_.user_filter);
        ask.attributes.insert(ask.attributes.end(), logins.begin(), logins.end());
        for (const auto* name : account_attributes()) ask.attributes.emplace_back(name);
        auto answer = connection_.search(ask);
        if (is_server_trouble(answer.code) && !wants_login(answer)) {
            return trouble("searching the user", answer.code, answer.text);
        }
        if (answer.entries.size() > 1 || answer.code == LDAP_SIZELIMIT_EXCEEDED) {
            auto detail = fmt::format("base {}, filter {}", ask.base, ask.filter);
            for (const auto& entry : answer.entries) detail += fmt::format("; {}", entry.dn);
            return fail(FailureKind::ambiguous, "Ambiguous search--too many results", detail);
        }
        const bool user_is_in_base = mentions(options_.user_base, Placeholder::username);
        const bool no_base = answer.code == LDAP_NO_SUCH_OBJECT && user_is_in_base;
        if (answer.code != LDAP_SUCCESS && !no_base) {
            return refused_search(
                "searching user_base with user_filter", options_.user_base, answer.code, answer.text
            );
        }
        if (answer.entries.empty()) {
            return fail(
                FailureKind::no_such_user,
                "User does not exist",
                fmt::format("base {}, filter {}", ask.base, ask.filter)
            );
        }
        user_ = std::move(answer.entries.front());
        identity_.user = question_.user;
        identity_.dn = user_.dn;
        login_ = login_in(user_, logins, question_.user);
        return std::nullopt;
    }

    /// Active Directory's word to whoever searches without a login.
    bool wants_login(const SearchAnswer& answer) const {
        return answer.code == LDAP_OPERATIONS_ERROR && options_.bind_dn.empty();
    }

    Stop check_account() {
        if (const auto why = why_disabled(user_, std::chrono::system_clock::now())) {
            return fail(FailureKind::account_disabled, *why);
        }
        std::uint32_t uid = 0;
        if (auto stop = take_id(options_.attributes.uid, uid)) return stop;
        identity_.uid = mapper::ServerUid(uid);
        std::uint32_t gid = uid;
        if (!user_.values(options_.attributes.gid).empty() ||
            (!options_.default_gid && !options_.gid_from_uid)) {
            if (auto stop = take_id(options_.attributes.gid, gid)) return stop;
        } else if (options_.default_gid) {
            gid = *options_.default_gid;
        }
        identity_.gid = mapper::ServerGid(gid);
        return std::nullopt;
    }

    Stop take_id(const std::string& attribute, std::uint32_t& id) const {
        const auto parsed = parse_id(user_.values(attribute));
        if (const auto* why = std::get_if<NoId>(&parsed)) {
            return fail(
                FailureKind::no_uid,
                fmt::format("its {} {}", attribute, to_string(*why)),
                fmt::format("{} is '{}'", attribute, user_.value(attribute))
            );
        }
        id = std::get<std::uint32_t>(parsed);
        if (id == 0 && !options_.allow_root_identity) {
            return fail(
                FailureKind::not_allowed,
                fmt::format("its {} is 0, and root is not allowed", attribute),
                "see allow_root_identity"
            );
        }
        return std::nullopt;
    }

    Stop find_groups() {
        std::vector<Group> found;
        const auto& names = options_.attributes;
        const std::vector<std::string> wanted{names.group_gid, names.group_name};
        const auto take = [&](const Entry& entry) {
            const auto name = entry.value(names.group_name);
            found.push_back(
                {name.empty() ? entry.dn : std::string(name),
                 std::string(entry.value(names.group_gid))}
            );
        };
        if (!options_.group_base.empty()) {
            const SearchAsk ask{
                expand_base(options_.group_base, question_.user),
                expand_filter(options_.group_filter, login_, user_.dn),
                wanted,
                SearchAsk::Scope::subtree,
                kMostGroups};
            const auto answer = connection_.search(ask);
            if (is_server_trouble(answer.code)) {
                return trouble("searching the groups", answer.code, answer.text);
            }
            if (answer.code != LDAP_SUCCESS) {
                return refused_search(
                    "searching group_base with group_filter",
                    options_.group_base,
                    answer.code,
                    answer.text
                );
            }
            for (const auto& entry : answer.entries) take(entry);
        }
        if (!names.member_of.empty()) {
            if (user_.is_partial(names.member_of)) {
                return fail(
                    FailureKind::misconfigured,
                    "it is in more groups than the directory says at once",
                    fmt::format("{} is only a part; use group_filter", names.member_of)
                );
            }
            const auto answer = connection_.read(user_.values(names.member_of), wanted);
            if (is_server_trouble(answer.code)) {
                return trouble("reading the groups", answer.code, answer.text);
            }
            if (answer.code != LDAP_SUCCESS) {
                // Their DNs are from the entry of this user.
                return ServerTrouble{
                    fmt::format(
                        "reading the groups: {}", describe_answer(answer.code, answer.text)
                    ),
                    ServerTrouble::What::this_user};
            }
            for (const auto& entry : answer.entries) take(entry);
        }
        auto chosen = choose_groups(
            identity_.gid,
            found,
            options_.prefer_groups,
            options_.allow_root_identity ? RootGroup::allowed : RootGroup::refused
        );
        identity_.groups = std::move(chosen.groups);
        identity_.left_out = std::move(chosen.left_out);
        return std::nullopt;
    }

    Stop verify_password() {
        // An entry without a DN would make this an anonymous bind, which succeeds for everybody.
        if (user_.dn.empty() || question_.password->empty()) {
            return fail(FailureKind::bad_credentials, "the password is wrong", "empty DN");
        }
        connection_.bound = Connection::Bound::nobody;
        const auto answer = connection_.bind(user_.dn, *question_.password);
        if (is_server_trouble(answer.code)) {
            return trouble("binding as the user", answer.code, answer.text);
        }
        const auto verdict = judge_bind(answer, user_);
        if (!verdict) {
            connection_.bound = Connection::Bound::user;
            return std::nullopt;
        }
        const auto detail = describe_answer(answer.code, answer.text);
        if (verdict->kind == FailureKind::unreachable) {
            return trouble("binding as the user", answer.code, answer.text);
        }
        return fail(verdict->kind, verdict->why, detail);
    }

    Connection& connection_;
    const Options& options_;
    const Question& question_;
    Entry user_;
    std::string login_;  ///< the user's name, as its entry has it
    Identity identity_;
};

}  // namespace

std::optional<ServerTrouble> bind_service(Connection& connection, const Options& options) {
    const bool fresh_anonymous =
        options.bind_dn.empty() && connection.bound == Connection::Bound::nobody;
    if (!fresh_anonymous) {
        const auto answer = connection.bind(options.bind_dn, options.bind_password);
        if (is_server_trouble(answer.code)) {
            return trouble("binding as bind_dn", answer.code, answer.text);
        }
        if (answer.code != LDAP_SUCCESS) {
            auto why = describe_answer(answer.code, answer.text);
            const auto verdict = judge_bind(answer, {});
            if (verdict && verdict->kind == FailureKind::account_disabled) {
                why += fmt::format(": {}", verdict->why);
            }
            return ServerTrouble{
                fmt::format("binding as bind_dn: {}", why), ServerTrouble::What::refused};
        }
    }
    connection.bound = Connection::Bound::service;
    return std::nullopt;
}

Said converse(Connection& connection, const Options& options, const Question& question) {
    return Conversation(connection, options, question).run();
}

}  // namespace uidnfs::ldap

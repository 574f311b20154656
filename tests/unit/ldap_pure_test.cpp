// SPDX-License-Identifier: Apache-2.0
// Decisions of the directory that need none: escapes, ids, groups, accounts, servers, URLs.
#include "ldap/account.hpp"
#include "ldap/check.hpp"
#include "ldap/entry.hpp"
#include "ldap/escape.hpp"
#include "ldap/failures.hpp"
#include "ldap/groups.hpp"
#include "ldap/names.hpp"
#include "ldap/server_choice.hpp"
#include "ldap/server_url.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <future>
#include <random>
#include <thread>

namespace uidnfs::ldap {
namespace {

using namespace std::literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Escape, FiltersByRfc4515) {
    EXPECT_EQ(escape_filter("alice"), "alice");
    EXPECT_EQ(escape_filter("a*(b)\\c"), "a\\2a\\28b\\29\\5cc");
    EXPECT_EQ(escape_filter("a\0b"s), "a\\00b");
    EXPECT_EQ(escape_filter("\xc3\xb6"), "\\c3\\b6");
    EXPECT_EQ(escape_filter("a&|!=<>~"), "a&|!=<>~") << "no specials inside a value";
}

TEST(Escape, DnsByRfc4514) {
    EXPECT_EQ(escape_dn("alice smith"), "alice smith");
    EXPECT_EQ(escape_dn(" a "), "\\20a\\20");
    EXPECT_EQ(escape_dn("#a#"), "\\23a#");
    EXPECT_EQ(escape_dn("a,b+c\"d\\e<f>g;h=i"), "a\\2cb\\2bc\\22d\\5ce\\3cf\\3eg\\3bh\\3di");
    EXPECT_EQ(escape_dn("\0"s), "\\00");
}

TEST(Escape, PlaceholdersAreReplacedOnce) {
    EXPECT_EQ(expand_filter("(uid={username})", "{dn}", "x"), "(uid={dn})");
    EXPECT_EQ(
        expand_filter("(|(a={username})(b={dn}))", "*", "cn=a\\,b"), "(|(a=\\2a)(b=cn=a\\5c,b))"
    );
    EXPECT_EQ(expand_filter("({other}{", "x", "y"), "({other}{");
    EXPECT_EQ(expand_base("uid={username},dc={dn}", "a,b"), "uid=a\\2cb,dc={dn}");
}

TEST(Escape, LoginsAreTheAttributesThatAreTheWholeName) {
    EXPECT_THAT(
        login_attributes("(&(objectClass=posixAccount)(uid={username}))"), ElementsAre("uid")
    );
    EXPECT_THAT(
        login_attributes("(|(sAMAccountName={username})(mail={username}))"),
        ElementsAre("sAMAccountName", "mail")
    );
    EXPECT_THAT(login_attributes("(mail={username}@example.com)"), IsEmpty());
    EXPECT_THAT(login_attributes("(uid:caseExactMatch:={username})(a>={username})"), IsEmpty());
    EXPECT_THAT(login_attributes("={username})"), IsEmpty());
}

TEST(Escape, LoginsAreTheSameInAnyCaseAndSpacing) {
    EXPECT_TRUE(is_same_login("Anna", "aNNA"));
    EXPECT_TRUE(is_same_login("anna  maria", " Anna Maria "));
    EXPECT_FALSE(is_same_login("annamaria", "anna maria"));
    EXPECT_FALSE(is_same_login("anna", "ann"));
    EXPECT_TRUE(is_same_login("", " "));
}

TEST(Entries, ALoginIsSpelledAsTheEntryHasIt) {
    Entry entry;
    entry.attributes = {{"cn", {"Anna Maria", "Anna"}}, {"uid", {"anna"}}};
    EXPECT_EQ(login_in(entry, {"uid"}, "ANNA"), "anna");
    EXPECT_EQ(login_in(entry, {"cn", "uid"}, "ANNA"), "Anna");
    EXPECT_EQ(login_in(entry, {"cn", "uid"}, "anna"), "anna") << "as one of them has it";
    EXPECT_EQ(login_in(entry, {"cn", "uid"}, "bob"), "bob");
    EXPECT_EQ(login_in(entry, {"mail"}, "ANNA"), "ANNA");
}

TEST(Escape, NothingThatComesOutEndsAValue) {
    std::mt19937 random(4);
    for (int i = 0; i < 20'000; ++i) {
        std::string text(random() % 20, '\0');
        for (auto& c : text) c = static_cast<char>(random());
        const auto out = escape_filter(text);
        ASSERT_EQ(out.find_first_of("*()"), std::string::npos);
        ASSERT_EQ(out.find('\0'), std::string::npos);
        // And it is the same text again for who reads it as RFC 4515 says.
        std::string back;
        for (std::size_t at = 0; at < out.size(); ++at) {
            if (out[at] != '\\') {
                back += out[at];
            } else {
                back += static_cast<char>(std::stoi(out.substr(at + 1, 2), nullptr, 16));
                at += 2;
            }
        }
        ASSERT_EQ(back, text);
    }
}

std::string id(std::string_view text) {
    const auto parsed = parse_id(text);
    const auto* why = std::get_if<NoId>(&parsed);
    return why ? std::string(to_string(*why)) : std::to_string(std::get<std::uint32_t>(parsed));
}

TEST(Ids, AreDecimalNumbersOf32Bits) {
    EXPECT_EQ(id("1001"), "1001");
    EXPECT_EQ(id("0"), "0");
    EXPECT_EQ(id("007"), "7");
    EXPECT_EQ(id("4294967294"), "4294967294");
    EXPECT_EQ(id("4294967295"), "is 4294967295, which is nobody's id");
    EXPECT_EQ(id("4294967296"), "does not fit in 32 bits");
    EXPECT_EQ(id("99999999999999999999999999"), "does not fit in 32 bits");
    EXPECT_EQ(id(""), "is missing");
    for (const auto text : {"-1"sv, "+1"sv, " 1"sv, "1 "sv, "0x10"sv, "1e3"sv, "1\0"sv, "x"sv}) {
        EXPECT_EQ(id(text), "is not a number of digits only") << text;
    }
    EXPECT_EQ(std::get<NoId>(parse_id(std::vector<std::string>{"1", "2"})), NoId::several);
}

TEST(Entries, CompareNamesWithoutCaseAndOptions) {
    const Entry entry{
        "cn=x", {{"UIDNUMBER", {"7"}}, {"memberOf", {}}, {"memberOf;range=0-1", {"a"}}}};
    EXPECT_EQ(entry.value("uidNumber"), "7");
    EXPECT_THAT(entry.values("memberOf"), ElementsAre("a"));
    EXPECT_TRUE(entry.is_partial("memberOf"));
    EXPECT_FALSE(entry.is_partial("uidNumber"));
    const Entry whole{"cn=x", {{"memberOf;range=0-*", {"a"}}}};
    EXPECT_FALSE(whole.is_partial("memberof"));
}

std::vector<std::uint32_t> numbers(const ChosenGroups& chosen) {
    std::vector<std::uint32_t> out;
    for (const auto group : chosen.groups) out.push_back(group.value());
    return out;
}

TEST(GroupChoice, PreferredFirstThenByNumber) {
    std::vector<Group> groups;
    for (int i = 20; i > 0; --i) groups.push_back({"g" + std::to_string(i), std::to_string(i)});
    const std::vector<std::uint32_t> prefer{19, 3, 99};
    const auto chosen = choose_groups(mapper::ServerGid(1), groups, prefer);
    EXPECT_THAT(
        numbers(chosen), ElementsAre(19, 3, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
    );
    ASSERT_EQ(chosen.left_out.size(), 3u);
    EXPECT_EQ(chosen.left_out[0], (LeftOut{LeftOut::Why::too_many, "g17", "17"}));
}

TEST(GroupChoice, SixteenAreNotTooMany) {
    std::vector<Group> groups;
    for (int i = 1; i <= 16; ++i) groups.push_back({"g", std::to_string(i)});
    EXPECT_THAT(choose_groups(mapper::ServerGid(99), groups, {}).left_out, IsEmpty());
}

TEST(GroupChoice, DoublesOddIdsAndRoot) {
    const std::vector<Group> groups{
        {"a", "5"}, {"b", "5"}, {"none", ""}, {"odd", "x"}, {"root", "0"}, {"big", "4294967295"}};
    const auto chosen = choose_groups(mapper::ServerGid(1), groups, {});
    EXPECT_THAT(numbers(chosen), ElementsAre(5));
    EXPECT_THAT(
        chosen.left_out,
        ElementsAre(
            LeftOut{LeftOut::Why::root, "root", "0"},
            LeftOut{LeftOut::Why::not_an_id, "odd", "x"},
            LeftOut{LeftOut::Why::not_an_id, "big", "4294967295"}
        )
    );
    // Preferring it is no way in.
    const std::vector<std::uint32_t> prefer{0};
    EXPECT_THAT(numbers(choose_groups(mapper::ServerGid(1), groups, prefer)), ElementsAre(5));
}

std::string disabled(std::string name, std::string value) {
    // 2026-01-01 is day 20454.
    const auto now = std::chrono::sys_days{std::chrono::year{2026} / 1 / 1};
    const Entry entry{"cn=x", {{std::move(name), {std::move(value)}}}};
    return why_disabled(entry, now).value_or("");
}

TEST(Accounts, EveryDirectoryHasItsWay) {
    EXPECT_EQ(disabled("shadowExpire", "20454"), "the account has expired");
    EXPECT_EQ(disabled("shadowExpire", "20455"), "");
    EXPECT_EQ(disabled("shadowExpire", "0"), "the account has expired");
    EXPECT_EQ(disabled("shadowExpire", "-1"), "");
    EXPECT_EQ(disabled("shadowExpire", "soon"), "");
    EXPECT_EQ(disabled("userAccountControl", "514"), "the account is disabled");
    EXPECT_EQ(disabled("userAccountControl", "512"), "");
    EXPECT_EQ(disabled("nsAccountLock", "TRUE"), "the account is disabled");
    EXPECT_EQ(disabled("nsAccountLock", "false"), "");
    EXPECT_EQ(disabled("pwdAccountLockedTime", "000001010000Z"), "the account is locked");
    EXPECT_EQ(disabled("pwdAccountLockedTime", "20260101000000Z"), "")
        << "the server knows its end";
    EXPECT_EQ(disabled("accountExpires", "0"), "");
    EXPECT_EQ(disabled("accountExpires", "9223372036854775807"), "");
    EXPECT_EQ(disabled("accountExpires", "134117000000000000"), "") << "2026-01-01T18:26:40Z";
    EXPECT_EQ(disabled("accountExpires", "134116000000000000"), "the account has expired");
}

std::string bind(const BindAnswer& answer, const Entry& entry = {"cn=x"}) {
    const auto verdict = judge_bind(answer, entry);
    return verdict ? std::string(to_string(verdict->kind)) + ": " + verdict->why : "ok";
}

TEST(Accounts, ActiveDirectorySaysWhyInTheText) {
    const auto said = [](const char* code) {
        return bind(
            {49,
             {},
             "80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext "
             "error, data " +
                 std::string(code) + ", v4563"}
        );
    };
    EXPECT_EQ(said("52e"), "bad_credentials: the password is wrong");
    EXPECT_EQ(said("525"), "no_such_user: User does not exist");
    EXPECT_EQ(said("532"), "account_disabled: the password has expired");
    EXPECT_EQ(said("533"), "account_disabled: the account is disabled");
    EXPECT_EQ(said("701"), "account_disabled: the account has expired");
    EXPECT_THAT(said("773"), HasSubstr("account_disabled: the password must be changed"));
    EXPECT_EQ(said("775"), "account_disabled: the account is locked");
    EXPECT_THAT(said("530"), HasSubstr("not_allowed: "));
}

TEST(Accounts, BindAnswers) {
    using Policy = BindAnswer::Policy;
    EXPECT_EQ(bind({0}), "ok");
    EXPECT_EQ(bind({49}), "bad_credentials: the password is wrong");
    EXPECT_EQ(bind({49, Policy::account_locked}), "account_disabled: the account is locked");
    EXPECT_EQ(bind({49, Policy::password_expired}), "account_disabled: the password has expired");
    EXPECT_THAT(bind({0, Policy::must_change}), HasSubstr("must be changed"));
    EXPECT_EQ(
        bind({49}, {"cn=x", {{"pwdAccountLockedTime", {"20260101000000Z"}}}}),
        "account_disabled: the account is locked"
    );
    EXPECT_THAT(bind({53}), HasSubstr("not_allowed"));
    EXPECT_THAT(bind({13}), HasSubstr("misconfigured"));
    EXPECT_THAT(bind({51}), HasSubstr("unreachable"));
    EXPECT_THAT(bind({-1}), HasSubstr("unreachable"));
}

TEST(Servers, DownOnesAreAskedLast) {
    ServerChoice choice(3);
    const core::SteadyTime now{};
    EXPECT_THAT(choice.order(), ElementsAre(0, 1, 2));
    EXPECT_EQ(
        choice.failed(0, now, "x", ServerChoice::Why::unreachable), ServerChoice::Change::went_down
    );
    EXPECT_EQ(
        choice.failed(0, now, "x", ServerChoice::Why::unreachable), ServerChoice::Change::none
    );
    EXPECT_THAT(choice.order(), ElementsAre(1, 2, 0));
    EXPECT_FALSE(choice.all_unreachable());
    choice.failed(1, now, "x", ServerChoice::Why::unreachable);
    choice.failed(2, now, "x", ServerChoice::Why::unreachable);
    EXPECT_TRUE(choice.all_unreachable());
    EXPECT_THAT(choice.order(), ElementsAre(0, 1, 2));
    EXPECT_EQ(choice.succeeded(1), ServerChoice::Change::came_up);
    EXPECT_THAT(choice.order(), ElementsAre(1, 0, 2));
}

TEST(Servers, ProbesComeLessAndLessOftenAndOneAtATime) {
    ServerChoice choice(2);
    core::SteadyTime now{};
    choice.failed(0, now, "x", ServerChoice::Why::unreachable);
    std::vector<int> pauses;
    for (int i = 0; i < 6; ++i) {
        int pause = 0;
        while (!choice.next_probe(now)) {
            now += 1s;
            ++pause;
        }
        EXPECT_EQ(choice.next_probe(now), std::nullopt) << "somebody is looking already";
        pauses.push_back(pause);
        choice.failed(0, now, "x", ServerChoice::Why::unreachable);
    }
    EXPECT_THAT(pauses, ElementsAre(1, 2, 4, 8, 15, 15));
}

TEST(Servers, ManyFailuresOfOneOutageAreOneStep) {
    ServerChoice choice(1);
    core::SteadyTime now{};
    for (int i = 0; i < 100; ++i) choice.failed(0, now, "x", ServerChoice::Why::unreachable);
    EXPECT_EQ(choice.next_probe(now + 1s), std::optional<std::size_t>(0));
}

TEST(Servers, ThoseThatRefuseOurLoginAreLeftAloneForLong) {
    ServerChoice choice(1);
    const core::SteadyTime now{};
    choice.failed(0, now, "x", ServerChoice::Why::refused);
    EXPECT_EQ(choice.next_probe(now + 59s), std::nullopt);
    EXPECT_TRUE(choice.next_probe(now + 60s));
}

TEST(Servers, OneThatAnswersAndRefusesIsNoOutage) {
    using Why = ServerChoice::Why;
    const core::SteadyTime now{};
    for (const auto why : {Why::refused, Why::misconfigured}) {
        ServerChoice choice(2);
        choice.failed(0, now, "x", Why::unreachable);
        choice.failed(1, now, "x", why);
        EXPECT_FALSE(choice.all_unreachable());
        choice.failed(0, now, "x", why);
        EXPECT_FALSE(choice.all_unreachable());
        choice.failed(0, now, "x", Why::unreachable);
        choice.failed(1, now, "x", Why::unreachable);
        EXPECT_TRUE(choice.all_unreachable()) << "what was seen last counts";
    }
}

TEST(Servers, OurLoginIsNotTriedAgainWhereItWasRefusedAMomentAgo) {
    using Why = ServerChoice::Why;
    const core::SteadyTime now{};
    ServerChoice choice(2);
    EXPECT_FALSE(choice.is_left_alone(0, now, 30s));
    choice.failed(0, now, "x", Why::refused);
    EXPECT_TRUE(choice.is_left_alone(0, now + 29s, 30s));
    EXPECT_FALSE(choice.is_left_alone(0, now + 30s, 30s));
    EXPECT_FALSE(choice.is_left_alone(0, now, 0s));
    EXPECT_FALSE(choice.is_left_alone(1, now, 30s)) << "the other one is asked";
    choice.succeeded(0);
    EXPECT_FALSE(choice.is_left_alone(0, now, 30s));
    for (const auto why : {Why::unreachable, Why::misconfigured}) {
        choice.failed(1, now, "x", why);
        EXPECT_FALSE(choice.is_left_alone(1, now, 30s)) << "no account suffers from a try";
    }
}

TEST(Servers, EachGetsItsShareOfWhatIsLeft) {
    const core::SteadyTime now{};
    EXPECT_EQ(ServerChoice::share(now, now + 3s, 3), now + 1s);
    EXPECT_EQ(ServerChoice::share(now + 1s, now + 3s, 2), now + 2s);
    EXPECT_EQ(ServerChoice::share(now, now + 3s, 1), now + 3s)
        << "a quick failure leaves all of it";
    EXPECT_EQ(ServerChoice::share(now + 4s, now + 3s, 2), now + 3s);
}

std::string url(std::string_view text) {
    const auto parsed = parse_server_url(text);
    if (!parsed) return "refused";
    return parsed->path.empty() ? parsed->host + " " + std::to_string(parsed->port) : parsed->path;
}

TEST(Urls, SchemeHostPortAndNothingElse) {
    EXPECT_EQ(url("ldap://h"), "h 389");
    EXPECT_EQ(url("ldaps://h"), "h 636");
    EXPECT_EQ(url("ldaps://h:1636"), "h 1636");
    EXPECT_EQ(url("ldaps://h/"), "h 636");
    EXPECT_EQ(url("ldap://[::1]:390"), "::1 390");
    EXPECT_EQ(url("ldapi://%2Frun%2Fslapd"), "/run/slapd");
    for (const auto* text :
         {"",
          "h",
          "http://h",
          "ldap://",
          "ldapi://",
          "ldap://h/dc=x",
          "ldap://h:x",
          "ldap://h:99999",
          "ldap://h/??sub",
          "ldap://h/????x",
          "cldap://h"}) {
        EXPECT_EQ(url(text), "refused") << text;
    }
    EXPECT_EQ(url("ldap://h\0x"sv), "refused");
}

TEST(Urls, LoopbackByName) {
    for (const auto* host : {"localhost", "127.0.0.1", "127.9.9.9", "::1"}) {
        EXPECT_TRUE(is_loopback_name(host)) << host;
    }
    for (const auto* host : {"localhost.example.com", "128.0.0.1", "::2", "", "127.0.0.1.x"}) {
        EXPECT_FALSE(is_loopback_name(host)) << host;
    }
}

TEST(NamesOfHosts, ResolverThatHangsCostsTheDeadlineAndOneThread) {
    auto calls = std::make_shared<std::atomic<int>>(0);
    auto release = std::make_shared<std::promise<void>>();
    const auto hold = release->get_future().share();
    Names names([calls, hold](const std::string&, std::uint16_t) -> Names::Addresses {
        ++*calls;
        hold.wait();
        return std::vector<Address>(2);
    });
    for (int i = 0; i < 3; ++i) {
        const auto answer =
            names.resolve("h.example", 389, std::chrono::steady_clock::now() + 20ms, {});
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.error().code, ETIMEDOUT);
    }
    EXPECT_EQ(*calls, 1);
    release->set_value();
    const auto answer = names.resolve("h.example", 389, std::chrono::steady_clock::now() + 30s, {});
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->size(), 2u);
}

TEST(NamesOfHosts, StopEndsTheWait) {
    auto release = std::make_shared<std::promise<void>>();
    const auto hold = release->get_future().share();
    Names names([hold](const std::string&, std::uint16_t) -> Names::Addresses {
        hold.wait();
        return std::vector<Address>{};
    });
    std::stop_source stop;
    stop.request_stop();
    const auto answer =
        names.resolve("h.example", 389, std::chrono::steady_clock::now() + 1h, stop.get_token());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ECANCELED);
    release->set_value();
}

TEST(NamesOfHosts, AddressesNeedNoResolver) {
    Names names([](const std::string&, std::uint16_t) -> Names::Addresses {
        ADD_FAILURE() << "asked";
        return std::vector<Address>{};
    });
    const auto answer = names.resolve("127.0.0.1", 389, {}, {});
    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->front().is_loopback());
    EXPECT_EQ(answer->front().display(), "127.0.0.1");
    EXPECT_TRUE(names.resolve("::1", 389, {}, {})->front().is_loopback());
    EXPECT_TRUE(names.resolve("::ffff:127.0.0.1", 389, {}, {})->front().is_loopback());
    EXPECT_FALSE(names.resolve("192.0.2.1", 389, {}, {})->front().is_loopback());
}

TEST(Texts, UserNamesAreQuotedShortAndPrintable) {
    EXPECT_EQ(ldap::quoted("alice"), "'alice'");
    EXPECT_EQ(ldap::quoted("a\nb"), "'a\\x0ab'");
    EXPECT_LT(ldap::quoted(std::string(10'000, 'x')).size(), 80u);
    EXPECT_TRUE(is_possible_name(std::string(256, 'x')));
    EXPECT_FALSE(is_possible_name(std::string(257, 'x')));
    EXPECT_FALSE(is_possible_name("a\0"s));
    EXPECT_FALSE(is_possible_name(""));
}

TEST(Texts, ADirectoryDoesNotDecideHowLongALineIs) {
    EXPECT_EQ(ldap::brief("busy"), "busy");
    EXPECT_EQ(ldap::brief("0123456789", 4), "0123... (10 bytes)");
    const std::string long_text(2'000'000, '\n');
    const auto failure = ldap::make_failure(FailureKind::no_uid, "alice", "why", long_text);
    EXPECT_LT(failure.operator_text.size(), 20'000u);
    Identity identity;
    identity.left_out.push_back({LeftOut::Why::too_many, long_text, long_text});
    EXPECT_LT(ldap::describe(identity).size(), 2'000u);
}

Options good() {
    Options options;
    options.urls = {"ldaps://ldap1.example.com"};
    options.bind_dn = "cn=uidnfs,dc=example,dc=com";
    options.bind_password = core::Secret("x");
    options.user_base = "ou=people,dc=example,dc=com";
    return options;
}

std::vector<std::string> keys(const Options& options) {
    std::vector<std::string> out;
    for (const auto& problem : check(options)) out.push_back(problem.key);
    return out;
}

TEST(Check, EverySchemaOfTheManualPasses) {
    EXPECT_THAT(keys(good()), IsEmpty());
    auto by_dn = good();
    by_dn.group_base = "ou=groups,dc=example,dc=com";
    by_dn.group_filter = "(&(objectClass=groupOfNames)(member={dn}))";
    EXPECT_THAT(keys(by_dn), IsEmpty());
    auto windows = good();
    windows.user_filter =
        "(&(objectCategory=person)(|(sAMAccountName={username})(userPrincipalName={username})))";
    windows.group_base = "dc=example,dc=com";
    windows.group_filter = "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={dn}))";
    EXPECT_THAT(keys(windows), IsEmpty());
    auto old = good();
    old.user_filter = "(&(objectClass=User)(cn={username}))";
    old.gid_from_uid = true;
    EXPECT_THAT(keys(old), IsEmpty());
}

TEST(Check, NamesEveryProblemAtOnce) {
    Options options;
    options.urls = {"ldap://ldap.example.com", "http://x"};
    options.ca_file = "/no/such/file";
    options.bind_dn = "not a dn";
    options.user_base = "";
    options.user_filter = "(uid=alice";
    options.group_base = "dc=x";
    options.group_filter = "(objectClass=posixGroup)";
    options.attributes.uid = "uid number";
    options.timeout = 0ms;
    options.recheck_max_percent = 0;
    options.default_gid = 0;
    options.threads = 0;
    EXPECT_THAT(
        keys(options),
        testing::UnorderedElementsAre(
            "urls",
            "urls",
            "ca_file",
            "bind_dn",
            "bind_password_file",
            "user_base",
            "user_filter",
            "user_filter",
            "group_filter",
            "attributes.uid",
            "timeout_seconds",
            "recheck_max_percent",
            "default_gid",
            "threads"
        )
    );
}

TEST(Check, ActiveDirectoryTakesLoginsThatAreNoDns) {
    auto options = good();
    for (const auto* name : {"svc@example.com", "EXAMPLE\\svc", "uid=svc@x,dc=example", ""}) {
        options.bind_dn = name;
        options.bind_password = core::Secret(*name ? "x" : "");
        EXPECT_THAT(keys(options), IsEmpty()) << name;
    }
    for (const auto* name : {"svc", "@example.com", "svc@", "a@b@c=d", "\\svc", "svc@exam ple"}) {
        options.bind_dn = name;
        options.bind_password = core::Secret("x");
        EXPECT_THAT(keys(options), ElementsAre("bind_dn")) << name;
    }
}

TEST(Check, CertificatesAreInPem) {
    const auto path = testing::TempDir() + "ldap-check-ca";
    auto options = good();
    options.ca_file = path;
    std::ofstream(path) << "\x30\x82\x03\x0d DER\n";
    EXPECT_THAT(keys(options), ElementsAre("ca_file"));
    std::ofstream(path) << "-----BEGIN PRIVATE KEY-----\n";
    EXPECT_THAT(keys(options), ElementsAre("ca_file"));
    std::ofstream(path) << "# of the domain\n-----BEGIN CERTIFICATE-----\r\n";
    EXPECT_THAT(keys(options), IsEmpty());
    std::remove(path.c_str());
}

TEST(Check, ClearTextNeedsToBeAllowed) {
    auto options = good();
    options.urls = {"ldap://127.0.0.1", "ldapi://%2Frun%2Fslapd"};
    EXPECT_THAT(keys(options), IsEmpty());
    options.urls = {"ldap://ldap.example.com"};
    EXPECT_THAT(keys(options), ElementsAre("urls"));
    options.start_tls = true;
    EXPECT_THAT(keys(options), IsEmpty());
    options.start_tls = false;
    options.allow_plaintext = true;
    EXPECT_THAT(keys(options), IsEmpty());
}

TEST(Check, LocalhostIsNoNameForACertificate) {
    auto options = good();
    options.urls = {"ldaps://localhost"};
    EXPECT_THAT(keys(options), ElementsAre("urls"));
    options.urls = {"ldap://localhost"};
    EXPECT_THAT(keys(options), IsEmpty());
}

TEST(Check, SaysNoPassword) {
    auto options = good();
    options.bind_dn = "";
    options.bind_password = core::Secret("swordfish");
    for (const auto& problem : check(options)) {
        EXPECT_THAT(problem.found + problem.allowed, testing::Not(HasSubstr("swordfish")));
    }
    EXPECT_THAT(keys(options), ElementsAre("bind_dn"));
}

}  // namespace
}  // namespace uidnfs::ldap

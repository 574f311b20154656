// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/option_settings.hpp"

#include "config/checks.hpp"
#include "config/option_table.hpp"
#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::plugins {
namespace {

using config::Availability;
using config::Kind;
using config::MountOptions;
using config::OptionSpec;

bool is_secret(std::string_view name) {
    return name.starts_with("pass") || name == "credentials" || name == "secret";
}

/// True when `flag` in effect is ended by `other`.
bool ends(const OptionSpec& other, const OptionSpec& flag) {
    MountOptions options;
    flag.apply(options, {});
    if (!flag.show(options)) return false;
    other.apply(options, {});
    return !flag.show(options);
}

/// The flags that say the opposite of `flag`: async for sync; soft and softerr for hard.
std::vector<const OptionSpec*> opposites(const OptionSpec& flag) {
    std::vector<const OptionSpec*> found;
    for (const auto& other : config::option_table()) {
        const bool is_usable =
            other.value.kind == Kind::flag && other.availability.state == Availability::State::now;
        if (is_usable && &other != &flag && ends(other, flag)) found.push_back(&other);
    }
    return found;
}

/// The option that `name = false` means; nothing where that is the default and has no word.
OptionOutcome read_false(const OptionSpec& option, std::string_view name, std::string_view where) {
    OptionOutcome outcome{.setting = {std::string(name)}};
    const auto found = opposites(option);
    if (found.size() == 1) {
        outcome.setting.option =
            config::RawOption{std::string(found.front()->name), std::nullopt, std::string(where)};
        return outcome;
    }
    if (found.size() > 1) {
        std::vector<std::string_view> names;
        for (const auto* each : found) names.push_back(each->name);
        outcome.problem = fmt::format(
            "it has more than one opposite; write {} = true", fmt::join(names, " = true or ")
        );
        return outcome;
    }
    // A flag that shows nothing in effect has no state that could be the other one.
    MountOptions options;
    const bool is_default = option.show(options).has_value();
    option.apply(options, {});
    const bool has_state = option.show(options).has_value();
    if (!has_state || is_default) outcome.problem = "it cannot be false; leave it out";
    return outcome;
}

/// Callers or the directory say who a volume is; no option of the operator reaches that far.
bool says_who(const OptionSpec& option, const std::optional<std::string>& value) {
    return option.name == "uid" || option.name == "gid" ||
           (option.name == "identity" && value != "fixed");
}

/// How the command line is to mount; the daemon answers whoever waits for a volume.
bool says_when(std::string_view name) {
    return name == "bg" || name == "retry" || name == "remount";
}

std::string refusal(const OptionSpec& option, const std::optional<std::string>& value) {
    if (says_who(option, value)) {
        return "callers or the directory say who a volume is, each for itself; leave it out, and "
               "write the ids that are allowed into rules of the policy";
    }
    const auto& availability = option.availability;
    const bool is_refused = availability.state != Availability::State::now &&
                            (availability.value.empty() || availability.value == value);
    return is_refused ? std::string(availability.refusal) : std::string();
}

}  // namespace

OptionOutcome read_option(std::string_view name, const OptionValue& value, std::string_view where) {
    OptionOutcome outcome{.setting = {std::string(name)}};
    outcome.is_shown = !is_secret(name);
    const auto* option = config::find_option(name);
    if (!option) {
        const auto nearest = config::nearest_option(name);
        // What an unknown option holds may be a password under another name.
        outcome.is_shown = false;
        outcome.problem = nearest.empty()
                              ? std::string("no such mount option; see uidnfs mount --help")
                              : fmt::format("no such mount option; did you mean \"{}\"?", nearest);
        return outcome;
    }
    const auto* flag = std::get_if<bool>(&value);
    if (flag && !*flag) {
        outcome.problem = refusal(*option, std::nullopt);
        if (!outcome.problem.empty()) return outcome;
        if (option->value.kind == Kind::flag) return read_false(*option, name, where);
        outcome.problem =
            fmt::format("it is not true or false; use {}", config::describe(option->value));
        return outcome;
    }
    std::optional<std::string> text;
    if (!flag) text = std::get<std::string>(value);
    outcome.problem = refusal(*option, text);
    if (outcome.problem.empty() && says_when(option->name)) {
        outcome.problem = "a volume is mounted within deadline_seconds or not at all; leave it out";
    }
    if (!outcome.problem.empty()) return outcome;
    if (flag && option->value.kind != Kind::flag && option->value.kind != Kind::anything) {
        outcome.problem =
            fmt::format("it is not true or false; use {}", config::describe(option->value));
        return outcome;
    }
    if (!flag && option->value.kind == Kind::flag) {
        outcome.problem = "it takes no value; use true or false";
        return outcome;
    }
    if (const auto parsed = config::parse_value(option->name, option->value, text); !parsed) {
        outcome.problem = parsed.error().user_text;
        return outcome;
    }
    outcome.setting.option =
        config::RawOption{std::string(option->name), std::move(text), std::string(where)};
    return outcome;
}

std::vector<std::string> find_contradictions(const OptionSettings& options) {
    MountOptions all;
    for (const auto& each : options) {
        if (!each.option) continue;
        const auto* option = config::find_option(each.option->name);
        if (!option) continue;
        if (const auto value =
                config::parse_value(option->name, option->value, each.option->value)) {
            option->apply(all, *value);
        }
    }
    auto problems = config::find_contradictions(all);
    for (auto a = options.begin(); a != options.end(); ++a) {
        for (auto b = std::next(a); b != options.end(); ++b) {
            if (!a->option || !b->option) continue;
            const auto* first = config::find_option(a->option->name);
            const auto* second = config::find_option(b->option->name);
            const bool are_flags = first && second && first != second &&
                                   first->value.kind == Kind::flag &&
                                   second->value.kind == Kind::flag;
            if (are_flags && (ends(*second, *first) || ends(*first, *second))) {
                problems.push_back(fmt::format(
                    "{} and {} contradict each other; leave one of them out", a->name, b->name
                ));
            }
        }
    }
    return problems;
}

bool decide_the_same(std::string_view a, std::string_view b) {
    const auto* first = config::find_option(a);
    const auto* second = config::find_option(b);
    if (!first || !second) return false;
    if (first == second) return true;
    if (first->value.kind != Kind::flag || second->value.kind != Kind::flag) return false;
    return ends(*second, *first) || ends(*first, *second);
}

}  // namespace uidnfs::plugins

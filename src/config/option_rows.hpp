// SPDX-License-Identifier: Apache-2.0
// What the rows of option_table.cpp are made of: each function here makes an OptionSpec that goes
// to one member of MountOptions, so that a row names the member once for both directions. Used
// there only.
#pragma once

#include "config/option_table.hpp"

#include <fmt/format.h>

#include <type_traits>
#include <utility>

namespace uidnfs::config::rows {

inline constexpr std::uint64_t kMaxId = 0xffff'fffe;  // (uid_t)-1 is nobody's id

inline void set_nothing(MountOptions&, const Value&) {}
inline std::optional<std::string> show_nothing(const MountOptions&) { return std::nullopt; }

template <class T>
struct MemberType;
template <class T>
struct MemberType<T MountOptions::*> {
    using Type = T;
};
template <auto Member>
using MemberOf = typename MemberType<decltype(Member)>::Type;

/// A word without value that gives `Member` one state: hard, soft, softerr; ro, rw.
template <auto Member, auto State>
OptionSpec flag(std::string_view name, std::string_view help) {
    return {
        .name = name,
        .help = help,
        .apply = [](MountOptions& options, const Value&) { options.*Member = State; },
        .show = [](const MountOptions& options) -> std::optional<std::string> {
            if (options.*Member == State) return "";
            return std::nullopt;
        },
    };
}

/// Zero shows as nothing when it means "not said" (Zero::unset).
enum class Zero { value, unset };

template <auto Member, Zero zero = Zero::value>
OptionSpec number(std::string_view name, ValueRule rule, std::string_view help) {
    rule.kind = Kind::number;
    return {
        .name = name,
        .value = std::move(rule),
        .help = help,
        .apply = [](MountOptions& options, const Value& value
                 ) { options.*Member = static_cast<MemberOf<Member>>(value.number); },
        .show = [](const MountOptions& options) -> std::optional<std::string> {
            if (zero == Zero::unset && options.*Member == 0) return std::nullopt;
            return fmt::format("{}", options.*Member);
        },
    };
}

template <auto Member, Zero zero = Zero::value>
OptionSpec size(std::string_view name, ValueRule rule, std::string_view help) {
    auto row = number<Member, zero>(name, std::move(rule), help);
    row.value.kind = Kind::size;
    row.value.placeholder = "SIZE";
    row.show = [](const MountOptions& options) -> std::optional<std::string> {
        if (zero == Zero::unset && options.*Member == 0) return std::nullopt;
        return show_size(options.*Member);
    };
    return row;
}

/// A number that may be absent.
template <auto Member>
OptionSpec number_or_none(std::string_view name, ValueRule rule, std::string_view help) {
    rule.kind = Kind::number;
    return {
        .name = name,
        .value = std::move(rule),
        .help = help,
        .apply = [](MountOptions& options, const Value& value
                 ) { options.*Member = static_cast<std::uint32_t>(value.number); },
        .show = [](const MountOptions& options) -> std::optional<std::string> {
            if (!(options.*Member)) return std::nullopt;
            return fmt::format("{}", *(options.*Member));
        },
    };
}

template <auto Member>
OptionSpec id(std::string_view name, std::string_view help) {
    return number_or_none<Member>(name, {.placeholder = "N", .max = kMaxId}, help);
}

template <auto Member>
OptionSpec ids(std::string_view name, std::string_view help) {
    return {
        .name = name,
        .value = {.kind = Kind::ids, .placeholder = "N:N:..."},
        .help = help,
        .apply = [](MountOptions& options, const Value& value) { options.*Member = value.ids; },
        .show = [](const MountOptions& options) -> std::optional<std::string> {
            if ((options.*Member).empty()) return std::nullopt;
            return fmt::format("{}", fmt::join(options.*Member, ":"));
        },
    };
}

template <auto Member>
OptionSpec text(std::string_view name, ValueRule rule, std::string_view help) {
    return {
        .name = name,
        .value = std::move(rule),
        .help = help,
        .apply = [](MountOptions& options, const Value& value) { options.*Member = value.text; },
        .show = [](const MountOptions& options) -> std::optional<std::string> {
            if ((options.*Member).empty()) return std::nullopt;
            return options.*Member;
        },
    };
}

/// One word of an enumeration. `Words()` gives the words; of two for one enumerator the first is
/// shown.
template <auto Member, auto Words>
OptionSpec choice(std::string_view name, std::string_view help) {
    return {
        .name = name,
        .value = {.kind = Kind::choice, .choices = Words()},
        .help = help,
        .apply = [](MountOptions& options, const Value& value
                 ) { options.*Member = static_cast<MemberOf<Member>>(value.number); },
        .show = [](const MountOptions& options) -> std::optional<std::string> {
            for (const auto& choice : Words()) {
                if (choice.number == static_cast<std::uint64_t>(options.*Member)) {
                    return std::string(choice.word);
                }
            }
            return std::nullopt;
        },
    };
}

/// An option of nfs(5) with the only value that uidnfs has.
template <const std::string_view& Word>
OptionSpec only(std::string_view name, std::string_view why_not, std::string_view help) {
    return {
        .name = name,
        .value = {.kind = Kind::choice, .choices = {{Word, 0}}, .why_not = why_not},
        .help = help,
        .apply = set_nothing,
        .show = [](const MountOptions&) -> std::optional<std::string> { return std::string(Word); },
    };
}

/// Understood and without effect.
inline OptionSpec accepted(std::string_view name, Kind kind, std::string_view help) {
    return {
        .name = name,
        .value = {.kind = kind},
        .help = help,
        .apply = set_nothing,
        .show = show_nothing,
    };
}

/// Known from elsewhere, refused by name with its own reason.
inline OptionSpec refused(std::string_view name, std::string_view why_not_what_to_do) {
    return {
        .name = name,
        .value = {.kind = Kind::anything},
        .availability =
            {.state = Availability::State::never, .value = {}, .refusal = why_not_what_to_do},
        .apply = set_nothing,
        .show = show_nothing,
    };
}

}  // namespace uidnfs::config::rows

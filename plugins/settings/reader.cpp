// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/reader.hpp"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include "config/text.hpp"
#include "plugins/settings/key_table.hpp"
#include "plugins/settings/nesting.hpp"
#include "plugins/settings/option_settings.hpp"

#include <fmt/format.h>

// toml++ 3.3 takes it for impossible that a letter between U+00A1 and U+0499 is no white space, and
// what is impossible to it is undefined. It is "no". It also asserts that a key begins like one (not
// so in "[:]"), and asks for it again right afterwards, with an error for the user: that one counts.
// clang-format off
#include <stdint.h>
#include <toml++/impl/forward_declarations.h>
#pragma push_macro("TOML_UNREACHABLE")
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#pragma pop_macro("TOML_UNREACHABLE")
#undef TOML_ASSERT_ASSUME
#define TOML_ASSERT_ASSUME(expression) static_assert(true)
#include <toml++/toml.h>
// clang-format on

#include <set>

namespace uidnfs::plugins {
namespace {

std::uint32_t line_of(const toml::node& node) { return node.source().begin.line; }

std::string_view kind_of(const toml::node& node) {
    switch (node.type()) {
        case toml::node_type::none: return "nothing";
        case toml::node_type::table: return "a table";
        case toml::node_type::array: return "a list";
        case toml::node_type::string: return "a text";
        case toml::node_type::integer: return "a whole number";
        case toml::node_type::floating_point: return "a fraction";
        case toml::node_type::boolean: return "a truth value";
        case toml::node_type::date:
        case toml::node_type::time:
        case toml::node_type::date_time: return "a date";
    }
    return "something else";
}

std::string show(const toml::node& node, Shown shown) {
    if (shown == Shown::no) return fmt::format("{} (not shown)", kind_of(node));
    if (const auto* text = node.as_string()) {
        return fmt::format("\"{}\"", config::shown(text->get()));
    }
    if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
    if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    return std::string(kind_of(node));
}

/// Walks the tables of one document. Each value is judged where it stands.
class Reader {
public:
    Reader(Draft& draft) : draft_(draft) {}

    /// `section` is the name in the key table, `path` the one in messages ("policy.rule[1]").
    void read_table(const toml::table& table, std::string_view section, const std::string& path) {
        for (const auto& [key, node] : table) {
            const auto full =
                path.empty() ? std::string(key.str()) : fmt::format("{}.{}", path, key.str());
            const auto name =
                section.empty() ? std::string(key.str()) : fmt::format("{}.{}", section, key.str());
            const auto line = key.source().begin.line;
            if (const auto* spec = find_key(section, key.str())) {
                draft_.lines[full] = line;
                read_value(*spec, full, node);
            } else if (const auto* inner = find_section(name)) {
                draft_.lines[full] = line_of(node) != 0 ? line_of(node) : line;
                read_section(*inner, full, node);
            } else {
                unknown(section, full, std::string(key.str()), line);
            }
        }
        require(section, path);
    }

private:
    void problem(std::uint32_t line, std::string key, std::string found, std::string allowed) {
        draft_.problems.push_back(
            {draft_.file, line, std::move(key), std::move(found), std::move(allowed)}
        );
    }

    void unknown(
        std::string_view section,
        const std::string& full,
        const std::string& key,
        std::uint32_t line
    ) {
        const auto shown_key = config::shown(full, 120);
        if (key.find("password") != std::string::npos || key.find("secret") != std::string::npos) {
            problem(
                line,
                shown_key,
                "a secret in the file",
                "secrets are read from files; use bind_password_file in [ldap]"
            );
            return;
        }
        const auto nearest = nearest_name(section, key);
        const auto where =
            section.empty() ? std::string("at the top") : fmt::format("in [{}]", section);
        problem(
            line,
            shown_key,
            "an unknown key",
            nearest.empty() ? fmt::format("there is none like it {}; see uidnfsd.toml(5)", where)
                            : fmt::format("did you mean {}?", nearest)
        );
    }

    void read_section(const SectionSpec& section, const std::string& full, const toml::node& node) {
        if (section.times == SectionSpec::Times::once) {
            const auto* table = node.as_table();
            if (!table) {
                problem(
                    line_of(node),
                    full,
                    show(node, Shown::no),
                    fmt::format("a table is needed; write [{}]", section.name)
                );
                return;
            }
            if (section.enter) section.enter(draft_.settings);
            read_table(*table, section.name, full);
            return;
        }
        const auto* array = node.as_array();
        if (!array || !array->is_homogeneous<toml::table>()) {
            problem(
                line_of(node),
                full,
                show(node, Shown::no),
                fmt::format("a list of tables is needed; write [[{}]]", section.name)
            );
            return;
        }
        std::size_t number = 0;
        for (const auto& each : *array) {
            const auto name = fmt::format("{}[{}]", full, ++number);
            draft_.lines[name] = line_of(each);
            section.enter(draft_.settings);
            read_table(*each.as_table(), section.name, name);
        }
    }

    void require(std::string_view section, const std::string& path) {
        for (const auto& key : key_table()) {
            if (key.section != section || !key.is_required) continue;
            const auto full = fmt::format("{}.{}", path, key.name);
            if (draft_.has(full)) continue;
            problem(draft_.lines[path], full, "nothing", fmt::format("add {}", synopsis(key)));
        }
    }

    void read_value(const KeySpec& key, const std::string& full, const toml::node& node) {
        const auto before = draft_.problems.size();
        KeyValue value;
        switch (key.kind) {
            case KeyKind::boolean:
                if (const auto* flag = node.as_boolean()) {
                    value.flag = flag->get();
                } else {
                    refuse(key, full, node);
                }
                break;
            case KeyKind::number: read_number(key, full, node, value.number); break;
            case KeyKind::size: read_size(key, full, node, value.number); break;
            case KeyKind::text: read_text(key, full, node, value.text); break;
            case KeyKind::choice: read_choice(key, full, node, value.number); break;
            case KeyKind::texts:
            case KeyKind::choices:
            case KeyKind::numbers: read_list(key, full, node, value); break;
            case KeyKind::options: read_options(key, full, node, value.options); break;
        }
        // Half a value would pretend that the rest was never said.
        if (draft_.problems.size() == before) key.apply(draft_.settings, value);
    }

    void refuse(const KeySpec& key, const std::string& full, const toml::node& node) {
        problem(line_of(node), full, show(node, key.shown), fmt::format("use {}", describe(key)));
    }

    void read_number(
        const KeySpec& key, const std::string& full, const toml::node& node, std::uint64_t& out
    ) {
        const auto* number = node.as_integer();
        if (!number || number->get() < 0 || static_cast<std::uint64_t>(number->get()) < key.min ||
            static_cast<std::uint64_t>(number->get()) > key.max) {
            refuse(key, full, node);
            return;
        }
        out = static_cast<std::uint64_t>(number->get());
    }

    void read_size(
        const KeySpec& key, const std::string& full, const toml::node& node, std::uint64_t& out
    ) {
        const auto* text = node.as_string();
        if (!text) {
            read_number(key, full, node, out);
            return;
        }
        const config::ValueRule rule{.kind = config::Kind::size, .min = key.min, .max = key.max};
        const auto value = config::parse_value(key.name, rule, text->get());
        if (value) {
            out = value->number;
        } else {
            refuse(key, full, node);
        }
    }

    void read_text(
        const KeySpec& key, const std::string& full, const toml::node& node, std::string& out
    ) {
        const auto* text = node.as_string();
        if (!text) {
            refuse(key, full, node);
            return;
        }
        if (auto why = key.check ? key.check(text->get()) : ""; !why.empty()) {
            problem(line_of(node), full, show(node, key.shown), std::move(why));
            return;
        }
        out = text->get();
    }

    void read_choice(
        const KeySpec& key, const std::string& full, const toml::node& node, std::uint64_t& out
    ) {
        if (const auto* text = node.as_string()) {
            for (const auto& choice : key.choices) {
                if (choice.word != text->get()) continue;
                out = choice.number;
                return;
            }
        }
        problem(
            line_of(node), full, show(node, key.shown), fmt::format("use {}", describe_one(key))
        );
    }

    /// What one entry of a list may be.
    static std::string describe_one(const KeySpec& key) {
        auto one = key;
        one.kind = key.kind == KeyKind::choices   ? KeyKind::choice
                   : key.kind == KeyKind::numbers ? KeyKind::number
                   : key.kind == KeyKind::texts   ? KeyKind::text
                                                  : key.kind;
        return describe(one);
    }

    void read_list(
        const KeySpec& key, const std::string& full, const toml::node& node, KeyValue& value
    ) {
        const auto* array = node.as_array();
        if (!array) {
            refuse(key, full, node);
            return;
        }
        if (array->empty() && key.is_required) {
            problem(line_of(node), full, "an empty list", fmt::format("use {}", describe(key)));
            return;
        }
        if (array->empty() && key.section == "policy.rule") {
            problem(
                line_of(node), full, "an empty list", "it would allow nothing; leave the key out"
            );
            return;
        }
        auto one = key;
        std::set<std::string> seen;
        std::size_t number = 0;
        for (const auto& each : *array) {
            const auto name = fmt::format("{}[{}]", full, ++number);
            if (const auto text = show(each, Shown::yes);
                !each.is_array() && !each.is_table() && !seen.insert(text).second) {
                problem(line_of(each), name, text, "it is there twice; leave one out");
                continue;
            }
            if (key.kind == KeyKind::texts) {
                one.kind = KeyKind::text;
                read_text(one, name, each, value.texts.emplace_back());
            } else if (key.kind == KeyKind::choices) {
                read_choice(one, name, each, value.numbers.emplace_back());
            } else {
                one.kind = KeyKind::number;
                read_number(one, name, each, value.numbers.emplace_back());
            }
        }
    }

    void read_options(
        const KeySpec& key, const std::string& full, const toml::node& node, OptionSettings& out
    ) {
        const auto* table = node.as_table();
        if (!table) {
            refuse(key, full, node);
            return;
        }
        for (const auto& [name, each] : *table) {
            const auto option = config::shown(fmt::format("{}.{}", full, name.str()), 120);
            const auto line = name.source().begin.line;
            draft_.lines[option] = line;
            const auto value = option_value(each);
            if (!value) {
                problem(
                    line,
                    option,
                    show(each, Shown::no),
                    "use true, false, a whole number, a text or a list of ids"
                );
                continue;
            }
            auto outcome = read_option(name.str(), *value, fmt::format("{}:{}", draft_.file, line));
            if (!outcome.problem.empty()) {
                problem(
                    line,
                    option,
                    show(each, outcome.is_shown ? Shown::yes : Shown::no),
                    std::move(outcome.problem)
                );
                continue;
            }
            out.push_back(std::move(outcome.setting));
        }
    }

    static std::optional<OptionValue> option_value(const toml::node& node) {
        if (const auto* flag = node.as_boolean()) return OptionValue(flag->get());
        if (const auto* number = node.as_integer()) {
            return OptionValue(fmt::format("{}", number->get()));
        }
        if (const auto* text = node.as_string()) return OptionValue(text->get());
        const auto* array = node.as_array();
        if (!array) return std::nullopt;
        std::string ids;
        for (const auto& each : *array) {
            const auto* id = each.as_integer();
            if (!id) return std::nullopt;
            ids += fmt::format("{}{}", ids.empty() ? "" : ":", id->get());
        }
        return OptionValue(std::move(ids));
    }

    Draft& draft_;
};

}  // namespace

void Draft::add(std::string key, std::string found, std::string allowed) {
    auto place = key;
    while (!place.empty() && !has(place)) {
        const auto dot = place.find_last_of(".[");
        place.resize(dot == std::string::npos ? 0 : dot);
    }
    const auto line = place.empty() ? 0 : lines[place];
    problems.push_back({file, line, std::move(key), std::move(found), std::move(allowed)});
}

Draft read_settings(std::string_view text, std::string file) {
    Draft draft;
    draft.file = std::move(file);
    if (const auto line = find_deep_line(text)) {
        draft.problems.push_back(
            {draft.file,
             *line,
             {},
             fmt::format("no TOML for this file: more than {} dots between keys", kMostDots),
             "correct the line; see uidnfsd.toml(5)"}
        );
        return draft;
    }
    const auto result = toml::parse(text, std::string_view(draft.file));
    if (!result) {
        // The description speaks of characters and keys; values do not occur in it.
        const auto& error = result.error();
        draft.problems.push_back(
            {draft.file,
             error.source().begin.line,
             {},
             fmt::format("no TOML: {}", config::shown(error.description(), 200)),
             "correct the line; see uidnfsd.toml(5)"}
        );
        return draft;
    }
    Reader(draft).read_table(result.table(), "", "");
    return draft;
}

}  // namespace uidnfs::plugins

// SPDX-License-Identifier: Apache-2.0
#include "ldap/replies.hpp"

#include <ldap.h>
#include <string.h>

#include <algorithm>
#include <optional>
#include <span>

namespace uidnfs::ldap {
namespace {

/// What an entry has at most; ten thousand groups take less. The smallest values take forty times
/// as much memory as they do on the wire.
constexpr std::size_t kMostValues = 1u << 16;

/// False: there is not so much left.
bool take_from(std::size_t& left, std::size_t amount) {
    if (amount > left) return false;
    left -= amount;
    return true;
}

struct FreePosition {
    void operator()(BerElement* position) const { ber_free(position, 0); }
};
struct FreeValues {
    void operator()(berval* values) const { ber_memfree(values); }
};

/// As libldap's text functions take it.
std::string text_of(const berval& text) {
    return {text.bv_val, ::strnlen(text.bv_val, text.bv_len)};
}

/// Nothing: it has more values than an entry has. They are looked at where they lie in the message.
std::optional<Entry> to_entry(LDAP* ld, LDAPMessage* message) {
    Entry entry;
    BerElement* raw_position = nullptr;
    berval dn{};
    const int begun = ldap_get_dn_ber(ld, message, &raw_position, &dn);
    const std::unique_ptr<BerElement, FreePosition> position(raw_position);
    if (begun != LDAP_SUCCESS) return entry;
    entry.dn = text_of(dn);
    auto left = kMostValues;
    for (;;) {
        berval name{};
        berval* raw_values = nullptr;
        const int got = ldap_get_attribute_ber(ld, message, position.get(), &name, &raw_values);
        const std::unique_ptr<berval, FreeValues> values(raw_values);
        if (got != LDAP_SUCCESS || name.bv_val == nullptr) return entry;
        std::size_t count = 0;
        while (raw_values != nullptr && raw_values[count].bv_val != nullptr) ++count;
        if (!take_from(left, count)) return std::nullopt;
        Entry::Attribute attribute{text_of(name), {}};
        for (const auto& value : std::span(raw_values, count)) {
            attribute.values.emplace_back(value.bv_val, value.bv_len);
        }
        entry.attributes.push_back(std::move(attribute));
    }
}

/// Where the next page begins; empty after the last one.
std::string cookie_of(LDAP* ld, LDAPControl** controls) {
    auto* control = controls == nullptr
                        ? nullptr
                        : ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, nullptr);
    if (control == nullptr) return {};
    berval next{0, nullptr};
    ber_int_t estimate = 0;
    if (ldap_parse_pageresponse_control(ld, control, &estimate, &next) != LDAP_SUCCESS) return {};
    const std::string cookie(next.bv_val ? next.bv_val : "", next.bv_len);
    ber_memfree(next.bv_val);
    return cookie;
}

bool is_result(LDAPMessage* message) {
    switch (ldap_msgtype(message)) {
        case LDAP_RES_SEARCH_ENTRY:
        case LDAP_RES_SEARCH_REFERENCE:
        case LDAP_RES_INTERMEDIATE: return false;
        default: return true;
    }
}

std::size_t bytes_of(const Entry& entry) {
    std::size_t bytes = entry.dn.size();
    for (const auto& attribute : entry.attributes) {
        bytes += sizeof attribute + attribute.name.size();
        for (const auto& value : attribute.values) bytes += sizeof value + value.size();
    }
    return bytes;
}

bool is_open(const PendingSearch& search) { return search.stage == PendingSearch::Stage::open; }

}  // namespace

void FreeMessage::operator()(LDAPMessage* message) const { ldap_msgfree(message); }

void FreeControls::operator()(LDAPControl** controls) const { ldap_controls_free(controls); }

void FreeMemory::operator()(char* memory) const { ldap_memfree(memory); }

int last_error(LDAP* ld) {
    int code = LDAP_OTHER;
    ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
    return code == LDAP_SUCCESS ? LDAP_LOCAL_ERROR : code;
}

std::string diagnostic(LDAP* ld) {
    char* text = nullptr;
    ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text);
    const Memory hold(text);
    return text ? text : "";
}

/// The next message, of whatever operation.
Message Replies::receive(int& code, std::string& text) {
    LDAPMessage* raw = nullptr;
    if (ldap_result(ld_, LDAP_RES_ANY, LDAP_MSG_ONE, nullptr, &raw) <= 0) {
        code = last_error(ld_);
        text = diagnostic(ld_);
        return nullptr;
    }
    return Message(raw);
}

Message Replies::take_result(int id, int& code, std::string& text) {
    for (;;) {
        auto message = receive(code, text);
        if (!message) return nullptr;
        if (ldap_msgid(message.get()) == id && is_result(message.get())) return message;
    }
}

void Replies::take(std::vector<PendingSearch>& searches) {
    while (std::ranges::any_of(searches, is_open)) {
        int code = LDAP_SUCCESS;
        std::string text;
        const auto message = receive(code, text);
        if (!message) {
            for (auto& each : searches) {
                if (is_open(each)) each.answer = {code, text};
                each.stage = PendingSearch::Stage::done;
            }
            return;
        }
        const auto of = std::ranges::find(searches, ldap_msgid(message.get()), &PendingSearch::id);
        if (of == searches.end() || !is_open(*of)) continue;
        if (ldap_msgtype(message.get()) == LDAP_RES_SEARCH_ENTRY) {
            take_entry(message.get(), *of);
        } else if (is_result(message.get())) {
            read_result(message.get(), *of);
        }
    }
}

void Replies::take_entry(LDAPMessage* message, PendingSearch& search) {
    auto& entries = search.answer.entries;
    auto entry = to_entry(ld_, message);
    if (entry) entries.push_back(*std::move(entry));
    if (!entry || !take_from(bytes_left_, bytes_of(entries.back()))) {
        search.answer = {LDAP_DECODING_ERROR, "more than an answer has"};
    } else if (entries.size() > search.most) {
        search.answer.code = LDAP_SIZELIMIT_EXCEEDED;
    } else {
        return;
    }
    search.stage = PendingSearch::Stage::done;
    ldap_abandon_ext(ld_, search.id, nullptr, nullptr);
}

void Replies::read_result(LDAPMessage* message, PendingSearch& search) {
    auto& answer = search.answer;
    char* raw_text = nullptr;
    LDAPControl** raw_answers = nullptr;
    if (ldap_parse_result(
            ld_, message, &answer.code, nullptr, &raw_text, nullptr, &raw_answers, 0
        ) != LDAP_SUCCESS) {
        answer.code = LDAP_DECODING_ERROR;
    }
    const Memory text(raw_text);
    const Controls answers(raw_answers);
    if (raw_text != nullptr) answer.text = raw_text;
    search.cookie = cookie_of(ld_, raw_answers);
    search.stage = PendingSearch::Stage::done;
}

}  // namespace uidnfs::ldap

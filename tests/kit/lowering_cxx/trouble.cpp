#include "trouble.hpp"

Trouble::Trouble(const std::string &text, int depth) : std::runtime_error(text), depth(depth) {}
Trouble::~Trouble() = default;
std::string Trouble::kind() const { return "trouble"; }

DeepTrouble::DeepTrouble(const std::string &text, int depth) : Trouble(text, depth) {}
DeepTrouble::~DeepTrouble() = default;
std::string DeepTrouble::kind() const { return "deep trouble"; }

void throw_trouble(int depth)
{
    if (depth > 1)
        throw DeepTrouble("depth " + std::to_string(depth), depth);
    throw Trouble("depth " + std::to_string(depth), depth);
}

std::shared_ptr<Trouble> make_trouble(int depth)
{
    if (depth > 1)
        return std::make_shared<DeepTrouble>("made", depth);
    return std::make_shared<Trouble>("made", depth);
}

std::exception_ptr keep_trouble(int depth)
{
    try {
        throw_trouble(depth);
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

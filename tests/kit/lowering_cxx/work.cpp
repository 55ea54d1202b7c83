#include "trouble.hpp"

#include <charconv>
#include <filesystem>
#include <future>
#include <iostream>
#include <random>
#include <regex>
#include <sstream>
#include <thread>
#include <typeinfo>
#include <vector>

static std::string caught(Step step, int depth)
{
    try {
        step(depth);
    } catch (const DeepTrouble &trouble) {
        return "caught " + trouble.kind() + " of " + trouble.what();
    } catch (const Trouble &trouble) {
        return "caught " + trouble.kind() + " of " + trouble.what();
    }
    return "caught nothing";
}

static std::string by_base(Step step)
{
    try {
        step(2);
    } catch (const std::exception &error) {
        // The type is found through a library that did not throw it.
        auto trouble = dynamic_cast<const DeepTrouble *>(&error);
        return std::string("by base ") + error.what() + (trouble ? ", " + trouble->kind() : ", unknown")
            + (typeid(error) == typeid(DeepTrouble) ? ", same type" : ", other type");
    }
    return "by base nothing";
}

static std::string pointer()
{
    std::exception_ptr kept = keep_trouble(3);
    std::string text = "kept";
    for (int i = 0; i < 2; i++)
        try {
            std::rethrow_exception(kept);
        } catch (const Trouble &trouble) {
            text += " " + std::to_string(trouble.depth);
        }
    return text;
}

static std::string nested(Step step)
{
    try {
        try {
            step(1);
        } catch (...) {
            std::throw_with_nested(DeepTrouble("around", 9));
        }
    } catch (const Trouble &outer) {
        try {
            std::rethrow_if_nested(outer);
        } catch (const Trouble &inner) {
            return std::string("nested ") + inner.what() + " in " + outer.what();
        }
    }
    return "nested nothing";
}

static std::string thread(Step step)
{
    std::promise<int> promise;
    std::future<int> future = promise.get_future();
    std::thread other([&] {
        try {
            step(4);
        } catch (...) {
            promise.set_exception(std::current_exception());
        }
    });
    std::string text = "thread ";
    try {
        future.get();
    } catch (const DeepTrouble &trouble) {
        text += trouble.what();
    }
    other.join();
    // Destructors of objects that belong to a thread.
    static thread_local std::string own = "own";
    std::thread([&] { own += " other"; }).join();
    return text + ", " + own;
}

static std::string cast()
{
    std::vector<std::shared_ptr<Trouble>> made = {make_trouble(1), make_trouble(2)};
    std::string text = "cast";
    for (const auto &trouble : made)
        text += std::dynamic_pointer_cast<DeepTrouble>(trouble) ? " deep" : " plain";
    return text;
}

static std::string of_the_library()
{
    std::string text = "library";
    try {
        (void)std::string("short").at(99);
    } catch (const std::out_of_range &) {
        text += " out_of_range";
    }
    try {
        std::regex broken("(");
    } catch (const std::regex_error &) {
        text += " regex_error";
    }
    try {
        std::filesystem::file_size("/nothing/there");
    } catch (const std::filesystem::filesystem_error &error) {
        text += " " + std::to_string(error.code().value());
    }
    try {
        std::istringstream stream("words");
        stream.exceptions(std::ios::failbit);
        int number;
        stream >> number;
    } catch (const std::ios_base::failure &) {
        text += " failure";
    }
    return text;
}

static std::string rest()
{
    char digits[40];
    auto end = std::to_chars(digits, digits + sizeof digits, 0.1).ptr;
    std::random_device device;
    std::ostringstream stream;
    stream << std::string(digits, end) << (device() >= 0) << std::boolalpha << true;
    std::smatch match;
    const std::string text = "wheel-1.0";
    bool found = std::regex_search(text, match, std::regex("([0-9]+)\\.([0-9]+)"));
    stream << " " << found << match[1] << match[2] << " " << std::filesystem::path("/a/b").filename().string();
    return stream.str();
}

std::string work(const std::string &task, Step step)
{
    if (task == "caught")
        return caught(step, 1) + ", " + caught(step, 2) + ", " + caught(throw_trouble, 5);
    if (task == "by-base")
        return by_base(step);
    if (task == "pointer")
        return pointer();
    if (task == "nested")
        return nested(step);
    if (task == "thread")
        return thread(step);
    if (task == "cast")
        return cast();
    if (task == "library")
        return of_the_library();
    if (task == "rest")
        return rest();
    throw_trouble(7); // through this library into the caller's
    return "";
}

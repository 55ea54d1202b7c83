"""A policy in the shape of the seed: the JSON of a policy file."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.policy.model import Ceiling, Policy


def policy_to_seed_json(policy: Policy) -> dict[str, object]:
    """The policy in the seed's JSON shape; `read_policies` reads it back with the same answers.

    Only the list of the versions that exist has no place there: every number up to the last one counts.
    """
    shape: dict[str, object] = {"name": policy.name}
    if policy.aliases:
        shape["aliases"] = list(policy.aliases)
    if policy.arch is not None:
        shape["arch"] = policy.arch.value
    shape["symbol_versions"] = {name: _ceiling_to_json(ceiling) for name, ceiling in sorted(policy.ceilings.items())}
    shape["lib_whitelist"] = sorted(policy.libraries)
    if policy.forbidden_symbols:
        shape["forbidden_symbols"] = {
            library: sorted(symbols) for library, symbols in sorted(policy.forbidden_symbols.items())
        }
    if policy.installable:
        shape["tag"] = ".".join(policy.tags)
    return shape


def _ceiling_to_json(ceiling: Ceiling) -> str | list[str] | None:
    if not ceiling.also:
        return ceiling.maximum
    return [*([] if ceiling.maximum is None else [ceiling.maximum]), *sorted(ceiling.also)]

"""How commands explain themselves: their own options first, then those that all share, then the exit statuses."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

__all__ = ["Command"]

COMMON = {"allow_external", "resume", "as_json", "quiet", "force", "workers", "memory", "scheduler", "help"}

STATUSES = (
    "0 done, 2 an option that cannot be meant, 65 content that cannot be used or cannot support an answer, "
    "66 an input that is missing, 69 a cluster that cannot be used, 73 an output that exists or cannot be created, "
    "74 a disk that is full or fails, 129, 130 and 143 stopped by a signal, 1 a bug."
)


ANY_SEED = re.compile(r"; 0<=x<=\d{20}(?=\])")


def _argument(param: Any) -> str:
    """How an argument is called: by what it stands for, not by its type."""
    return f"{param.metavar}..." if param.nargs == -1 else str(param.metavar)


class Command(TyperCommand):
    """A command whose help is in sections."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the name of the command."""
        arguments = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        return ["[OPTIONS]", *map(_argument, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, the command's own options, and common ones."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Common options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            if param.param_type_name == "argument":
                sections["Arguments"].append((_argument(param), text.removesuffix("  [required]")))
            else:
                title = "Common options" if param.name in COMMON else "Options"
                sections[title].append((name, ANY_SEED.sub("", text)))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """What the exit status means."""
        with formatter.section("Exit status"):
            formatter.write_text(STATUSES)

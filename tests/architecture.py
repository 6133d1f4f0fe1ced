"""The rules of the code's shape: who may import whom, who owns tasks, how large things may be.

Each rule is a function from a module's source to findings. `test_architecture.py` applies them, and tries them on code
that breaks them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

ROOT: Final = Path(__file__).parent.parent

PACKAGES: Final = ("app", "comfy_relay")

MAX_FILE_LINES: Final = 300
MAX_FUNCTION_LINES: Final = 60

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "values": (
        "app.addresses",
        "app.asset_records",
        "app.batch_events",
        "app.batch_records",
        "app.bucket_urls",
        "app.clock",
        "app.data_urls",
        "app.errors",
        "app.events",
        "app.filetypes",
        "app.intake",
        "app.logs",
        "app.mailbox",
        "app.records",
        "app.settings",
        "app.supervision",
        "app.webhook_errors",
        "app.webhook_news",
        "app.webhook_policy",
        "app.webhook_records",
        "app.webhook_settings",
        "app.webhook_urls",
        "app.v2_errors",
        "app.zips",
    ),
    "simulator": ("app.comfyui.simulator",),
    "comfyui": ("app.comfyui",),
    "core": (
        "app.eta",
        "app.hearing",
        "app.lifecycle",
        "app.live",
        "app.observations",
        "app.progress",
        "app.scale",
        "app.states",
        "app.timing",
        "app.verdicts",
        "app.wording",
    ),
    "database": ("app.db",),
    "bus": ("app.bus",),
    "redis": ("app.redis_bus", "app.redis_log"),
    "files": (
        "app.animations",
        "app.cache_folder",
        "app.containers",
        "app.conversions",
        "app.copies",
        "app.local_storage",
        "app.media",
        "app.object_reading",
        "app.object_storage",
        "app.object_uploads",
        "app.opening",
        "app.passing_through",
        "app.pictures",
        "app.posters",
        "app.reading",
        "app.storage",
        "app.stripping",
    ),
    "intake": ("app.fetching", "app.guarding", "app.screening", "app.uploads", "app.webhook_sending"),
    "shell": (
        "app.adopting",
        "app.recording",
        "app.backends",
        "app.canceling",
        "app.dispatching",
        "app.expiring",
        "app.finishing",
        "app.jobs",
        "app.learning",
        "app.origins",
        "app.placing",
        "app.reconciling",
        "app.slots",
        "app.tracking",
        "app.webhook_delivery",
    ),
    "preparation": (
        "app.batch_preparing",
        "app.batch_requests",
        "app.catalogue",
        "app.offers",
        "app.preparing",
        "app.references",
        "app.requests",
    ),
    "use cases": (
        "app.assets",
        "app.authoring",
        "app.batch_keeping",
        "app.batch_watching",
        "app.batches",
        "app.figures",
        "app.generations",
        "app.health",
        "app.projects",
        "app.single_use",
        "app.watching",
        "app.webhook_secrets",
        "app.webhooks",
    ),
    "api": ("app.api",),
    "client": ("comfy_relay",),
    "commands": ("app.commands",),
    "assembly": ("app.cli", "app.diagnosis", "app.main", "app.serving", "app.starting", "app.webhook_opening"),
}
"""Every module belongs to the part with its longest prefix. A new module needs a place here."""

MAY_IMPORT: Final[Mapping[str, frozenset[str]]] = {
    "values": frozenset(),
    "simulator": frozenset(),
    "comfyui": frozenset(),
    "core": frozenset({"values", "comfyui"}),
    "database": frozenset({"values"}),
    "bus": frozenset({"values"}),
    "redis": frozenset({"values", "bus"}),
    "files": frozenset({"values"}),
    "intake": frozenset({"values", "database", "files"}),
    "shell": frozenset({"values", "core", "comfyui", "database", "bus", "files", "intake"}),
    "preparation": frozenset({"values", "comfyui", "database", "intake", "shell"}),
    "use cases": frozenset({"values", "core", "comfyui", "database", "bus", "files", "intake", "shell", "preparation"}),
    "api": frozenset({"values", "bus", "files", "intake", "preparation", "use cases"}),
    "client": frozenset(),
    "commands": frozenset({"client"}),
    "assembly": frozenset(PARTS) - {"assembly"},
}
"""What a part may import besides itself."""

IMPORTERS: Final = {"app.main": {"app.serving"}, "app.serving": {"app.cli"}, "app.cli": set[str]()}
"""The modules that know everything, and the only ones that may know them."""

PURE: Final = (
    *PARTS["core"],
    "app.addresses",
    "app.animations",
    "app.api.batch_expansion",
    "app.asset_records",
    "app.batch_events",
    "app.batch_records",
    "app.bucket_urls",
    "app.commands.bars",
    "app.commands.batch_files",
    "app.commands.batch_plan",
    "app.commands.errors",
    "app.commands.findings",
    "app.commands.names",
    "app.commands.printing",
    "app.commands.values",
    "app.containers",
    "app.data_urls",
    "app.errors",
    "app.events",
    "app.filetypes",
    "app.intake",
    "app.records",
    "app.stripping",
    "app.slots",
    "app.webhook_errors",
    "app.webhook_news",
    "app.webhook_policy",
    "app.webhook_records",
    "app.webhook_urls",
    "app.v2_errors",
    "app.zips",
    "comfy_relay.arguments",
    "comfy_relay.effects",
    "comfy_relay.naming",
    "app.comfyui.corrections",
    "app.comfyui.definitions",
    "app.comfyui.editor",
    "app.comfyui.editor.conversion",
    "app.comfyui.editor.files",
    "app.comfyui.editor.fits",
    "app.comfyui.editor.inputs",
    "app.comfyui.editor.pruning",
    "app.comfyui.editor.roles",
    "app.comfyui.editor.scopes",
    "app.comfyui.editor.sources",
    "app.comfyui.editor.values",
    "app.comfyui.estimates",
    "app.comfyui.foreign",
    "app.comfyui.frames",
    "app.comfyui.graph",
    "app.comfyui.history",
    "app.comfyui.inference",
    "app.comfyui.inference_files",
    "app.comfyui.inference_fitting",
    "app.comfyui.inference_reading",
    "app.comfyui.inference_roles",
    "app.comfyui.inference_sampling",
    "app.comfyui.inference_sizes",
    "app.comfyui.inference_texts",
    "app.comfyui.inference_titles",
    "app.comfyui.checks",
    "app.comfyui.check_values",
    "app.comfyui.findings",
    "app.comfyui.near_names",
    "app.comfyui.messages",
    "app.comfyui.parameters",
    "app.comfyui.problems",
    "app.comfyui.progress_state",
    "app.comfyui.template_files",
    "app.comfyui.templates",
    "app.comfyui.workflow",
)
"""Modules that compute and nothing else."""

IMPURE: Final = frozenset(
    {
        *("aiohttp", "anyio", "asyncio", "fastapi", "httpx", "redis", "sqlalchemy", "starlette", "websockets"),
        *("datetime", "random", "secrets", "time", "uuid"),
        *("multiprocessing", "os", "shutil", "socket", "subprocess", "tempfile", "threading"),
    }
)
"""Networks, event loops, clocks, dice, processes and disks."""

HTTP_OF_CLIENT: Final = (
    "comfy_relay.async_http",
    "comfy_relay.blocking_http",
    "comfy_relay.client",
    "comfy_relay.wire",
)

ONLY_IN: Final[Mapping[str, tuple[str, ...]]] = {
    "aiohttp": ("app.comfyui", "app.fetching", "app.guarding", "app.webhook_sending"),
    "alembic": ("app.db",),
    "asyncpg": ("app.db",),
    "blake3": ("app.assets",),
    "fastapi": ("app.api", "app.main", "app.serving"),
    "httpx": ("app.comfyui", *HTTP_OF_CLIENT),
    "httpx_sse": HTTP_OF_CLIENT,
    "obstore": ("app.object_reading", "app.object_storage", "app.object_uploads"),
    "python_multipart": ("app.api.forms",),
    "PIL": ("app.commands.previews", "app.pictures", "app.comfyui.simulator"),
    "redis": ("app.redis_bus", "app.redis_log"),
    "rich": ("app.commands.screens",),
    "sqlalchemy": ("app.db",),
    "sqlmodel": ("app.db",),
    "standardwebhooks": ("app.webhook_sending",),
    "sse_starlette": ("app.api",),
    "starlette": ("app.api", "app.comfyui.simulator"),
    "tinytag": ("app.media",),
    "typer": ("app.cli", "app.commands"),
    "uvicorn": ("app.serving", "app.comfyui.simulator"),
    "websockets": ("app.comfyui",),
    "yaml": ("app.commands.batch_files",),
    "yarl": ("app.fetching", "app.webhook_urls"),
}
"""A library, and the modules that know it."""

TASK_GROUPS: Final = frozenset({"group", "_group", "_tasks"})
"""What TaskGroups are called; a task started through anything else has no owner."""


class Module(NamedTuple):
    """A file of the application; `name` is dotted and without a package's `__init__`."""

    name: str
    source: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)


Rule: TypeAlias = Callable[[Module], list[str]]


def modules() -> list[Module]:
    found = []
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path.read_text(encoding="utf-8")))
    return found


MODULES: Final = modules()
NAMES: Final = frozenset(module.name for module in MODULES)


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of everything imported, under TYPE_CHECKING as well; modules of ours are named to the last part."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            origin = node.module or ""
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in NAMES else origin


def is_within(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def part_of(name: str) -> str | None:
    found = [
        (len(prefix), part) for part, prefixes in PARTS.items() for prefix in prefixes if is_within(name, [prefix])
    ]
    return max(found)[1] if found else None


def misdirected(module: Module) -> list[str]:
    """Imports that the table of parts does not allow."""
    part = part_of(module.name)
    if part is None:
        return [] if module.name == "app" else [f"{module.name} belongs to no part"]
    found = []
    for target in imported(module.tree):
        to = part_of(target) if is_within(target, PACKAGES) else None
        if to is not None and to != part and to not in MAY_IMPORT[part]:
            found.append(f"{module.name} ({part}) imports {target} ({to})")
    return found


def foreign(module: Module) -> list[str]:
    """Libraries imported outside the modules that know them."""
    roots = {target.partition(".")[0] for target in imported(module.tree)}
    return [
        f"{module.name} imports {root}" for root in roots if not is_within(module.name, ONLY_IN.get(root, PACKAGES))
    ]


def impurities(module: Module) -> list[str]:
    """Imports that a pure module must not have: the impure, and modules of ours that are not pure themselves."""
    found = []
    for target in imported(module.tree):
        is_ours = is_within(target, PACKAGES)
        if (is_ours and target not in PURE) or target.partition(".")[0] in IMPURE:
            found.append(f"{module.name} imports {target}")
    return found


def stray_tasks(module: Module) -> list[str]:
    """Tasks that no TaskGroup owns."""
    found = []
    for call in calls(module.tree):
        name, owner = called(call)
        is_group = isinstance(call.func, ast.Attribute) and owner in TASK_GROUPS
        if name == "ensure_future" or (name == "create_task" and not is_group):
            found.append(f"{module.name}:{call.lineno} starts a task nobody owns")
    return found


def broad_catches(module: Module) -> list[str]:
    """`except:` and `except Exception`; and `except BaseException` that does not raise it again."""
    found = []
    for handler in (node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler)):
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        names = {each.id for each in types if isinstance(each, ast.Name)}
        last = handler.body[-1]
        raises = isinstance(last, ast.Raise) and last.exc is None
        if handler.type is None or "Exception" in names or ("BaseException" in names and not raises):
            found.append(f"{module.name}:{handler.lineno} catches too much")
    return found


def unbounded_queues(module: Module) -> list[str]:
    """Queues without a limit."""
    found = []
    for call in calls(module.tree):
        name, _ = called(call)
        limits = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "maxsize")]
        is_limited = bool(limits) and not (isinstance(limits[0], ast.Constant) and limits[0].value in (0, None))
        if name == "SimpleQueue" or (name in {"Queue", "LifoQueue", "PriorityQueue"} and not is_limited):
            found.append(f"{module.name}:{call.lineno} makes a queue without a limit")
    return found


def prints(module: Module) -> list[str]:
    return [f"{module.name}:{call.lineno} prints" for call in calls(module.tree) if called(call) == ("print", "")]


def environment_reads(module: Module) -> list[str]:
    """`os.environ` and `os.getenv`, however imported."""
    words = {"environ", "environb", "getenv"}
    nodes = ast.walk(module.tree)
    return [
        f"{module.name}:{node.lineno} reads the environment"
        for node in nodes
        if (isinstance(node, ast.Attribute) and node.attr in words)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and words & {alias.name for alias in node.names})
    ]


def function_lengths(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def oversized(module: Module) -> list[str]:
    """Files and functions that want splitting."""
    lines = len(module.source.splitlines())
    found = [f"{module.name} has {lines} lines"] if lines > MAX_FILE_LINES else []
    long = [(name, length) for name, length in function_lengths(module.tree) if length > MAX_FUNCTION_LINES]
    return found + [f"{module.name}.{name} has {length} lines" for name, length in long]


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def called(call: ast.Call) -> tuple[str, str]:
    """(function, last name of what it is called on): `self._group.create_task()` is ("create_task", "_group")."""
    function: ast.expr = call.func
    if isinstance(function, ast.Subscript):  # asyncio.Queue[int]()
        function = function.value
    match function:
        case ast.Name(id=name):
            return name, ""
        case ast.Attribute(attr=name, value=ast.Name(id=owner) | ast.Attribute(attr=owner)):
            return name, owner
        case ast.Attribute(attr=name):
            return name, "?"
        case _:
            return "", ""

"""The file that ComfyUI's editor saves, and the graph in the API format that it stands for.

Pure. Owns everything about that file's format; never talks to a server and never runs anything.
"""

from app.comfyui.editor.conversion import Converted, to_workflow
from app.comfyui.editor.files import EditorFileError, is_editor_file

__all__ = ["Converted", "EditorFileError", "is_editor_file", "to_workflow"]

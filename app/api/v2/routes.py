"""All routes of the Comfy API v2, under one tag."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.v2 import assets, jobs

router = APIRouter(prefix="/api/v2", tags=["comfy api v2"])
router.include_router(jobs.router)
router.include_router(assets.router)

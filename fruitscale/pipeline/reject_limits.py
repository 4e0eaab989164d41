"""Whether a run has too many rejects. Checked when photos were just read, when a run resumes and when it is complete."""

from __future__ import annotations

from fruitscale.config.schema import Images
from fruitscale.errors import InputError
from fruitscale.runs import parts
from fruitscale.runs.record import RejectLimit
from fruitscale.runs.run_folder import REJECTS, RunFolder


def check_rejects(folder: RunFolder, settings: Images, rejected: int, images: int) -> None:
    """Raise InputError if `rejected` of `images` photos are more than the settings allow. Rejects were written before."""
    if not rejected:
        return
    if settings.on_error == "fail":
        first = parts.read_rejects(folder.store, REJECTS)[0]
        raise InputError(
            f"{first.path} can't be used: {first.reason}: {first.detail.rstrip('.')}.",
            "Repair or remove it, or set images.on_error to reject.",
        )
    limit, allowed = settings.max_reject_fraction, settings.allowed_rejects
    if rejected == images or rejected > allowed_rejects(settings, images):
        floor = f" ({limit:g}) and images.allowed_rejects ({allowed}) allow" if limit else " (0) allows"
        raise InputError(
            f"{rejected} of {images} photos can't be used, more than images.max_reject_fraction{floor}; "
            f"the reasons are in {folder.store.uri}/{REJECTS}.",
            "Repair or exclude them, or allow more: --set images.max_reject_fraction=…",
        )


def allowed_rejects(settings: Images, images: int) -> int:
    """Return how many of `images` photos may be rejected."""
    if not settings.max_reject_fraction:
        return 0
    return max(settings.allowed_rejects, int(settings.max_reject_fraction * images))


def reject_limit(settings: Images, rejected: int, images: int) -> RejectLimit:
    """Return what the record says of the limit."""
    return RejectLimit(
        fraction=settings.max_reject_fraction,
        allowed=allowed_rejects(settings, images),
        above_fraction=rejected > settings.max_reject_fraction * images,
    )

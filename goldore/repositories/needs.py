"""How many kept samples a repository survives, and what happens below that.

Found by reading and running each repository at the commit that the catalogue names.
"""

from goldore.repositories.model import Need, Settings

SHRINKS = "its batches of real images become smaller silently"


def empty_class(effect: str = "the run fails on an empty class") -> Need:
    """Every class needs a sample."""
    return Need(1, "class", refuse=True, effect=effect)


def real_init(settings: Settings) -> tuple[Need, ...]:
    """Synthetic images that start as real ones (--init real), assigned as a block of ipc images."""
    if settings.ipc == 1:
        return (empty_class(),)
    return (
        empty_class(),
        Need(2, "class", refuse=True, effect="a single image is copied to all synthetic images of its class"),
        Need(settings.ipc, "class", refuse=True, effect="--init real fails"),
    )


def dc(settings: Settings) -> tuple[Need, ...]:
    """DC and DSA."""
    return (*real_init(settings), Need(settings.batch_real, "class", refuse=False, effect=SHRINKS))


def dm(settings: Settings) -> tuple[Need, ...]:
    """DM."""
    effect = f"{SHRINKS}, and models with batch normalisation fail"
    return (*real_init(settings), Need(settings.batch_real, "class", refuse=False, effect=effect))


def cafe(settings: Settings) -> tuple[Need, ...]:
    """CAFE stacks batches of all classes, and judges its progress on 128 kept images a class."""
    watchers = "its accuracy watchers judge on fewer than 128 images a class"
    return (
        *real_init(settings),
        Need(settings.batch_real, "class", refuse=True, effect="the batches of the classes do not stack"),
        Need(128, "class", refuse=False, effect=watchers),
    )


def trajectories(settings: Settings) -> tuple[Need, ...]:
    """MTT, HaBa, FTD and TESLA: experts on batches of 256 of all kept images."""
    return (
        *real_init(settings),
        Need(256, "total", refuse=False, effect="an epoch of the experts is a single step"),
    )


def datm(settings: Settings) -> tuple[Need, ...]:
    """DATM and EDF start from images that an expert gets right, and look on until a class has ipc."""
    effect = "the search for correctly classified images of each class never ends"
    return (empty_class(effect), Need(settings.ipc, "class", refuse=True, effect=effect))


def idc(settings: Settings) -> tuple[Need, ...]:
    """IDC matches gradients on whole batches, and starts a class from ipc times factor squared images."""
    start = settings.ipc * settings.factor**2
    return (
        empty_class("its batch sampler fails on an empty class"),
        Need(
            start, "class", refuse=True, effect=f"the {start} images that a class starts from are not there"
        ),
        Need(
            settings.batch_real,
            "class",
            refuse=True,
            effect="--match grad fails (--match feat takes what there is)",
        ),
    )


def dream(settings: Settings) -> tuple[Need, ...]:
    """DREAM clusters every class into a batch of centres."""
    start = settings.ipc * settings.factor**2
    clusters = (
        64 if settings.dataset == "TinyImageNet" else settings.batch_real
    )  # what --reproduce sets there
    return (
        empty_class("its batch sampler fails on an empty class"),
        Need(
            start, "class", refuse=True, effect=f"the {start} images that a class starts from are not there"
        ),
        Need(clusters, "class", refuse=True, effect="a class has fewer images than clusters"),
    )


def ncfm(settings: Settings) -> tuple[Need, ...]:
    """NCFM starts from ipc times factor squared images of each class."""
    start = settings.ipc * settings.factor**2
    return (
        empty_class(),
        Need(
            start, "class", refuse=True, effect=f"the {start} images that a class starts from are not there"
        ),
        Need(settings.batch_real, "class", refuse=False, effect=SHRINKS),
    )


def idm(settings: Settings) -> tuple[Need, ...]:
    """IDM."""
    return (*real_init(settings), Need(settings.batch_real, "class", refuse=False, effect=SHRINKS))


def linba(_: Settings) -> tuple[Need, ...]:
    """LinBa draws 64 real images of every class, whatever its options say."""
    effect = "its 64 queries a class do not fit, and it exits with 0 all the same"
    return (empty_class(), Need(64, "class", refuse=True, effect=effect))


def rfad(settings: Settings) -> tuple[Need, ...]:
    """RFAD draws 1,280 images without repeats, whatever its options say."""
    if settings.dataset == "CelebA":  # read by a loader, and started from noise
        return (empty_class("the class is never seen"),)
    return (
        empty_class(),
        Need(settings.ipc, "class", refuse=True, effect="the coreset it starts from cannot be drawn"),
        Need(1280, "total", refuse=True, effect="its batch of 1,280 cannot be drawn"),
    )


def frepo(settings: Settings) -> tuple[Need, ...]:
    """FRePo repeats what there is, and makes fewer prototypes silently."""
    effect = "it makes fewer prototypes than asked for, silently"
    return (
        empty_class("the class is missing among the prototypes, silently"),
        Need(settings.ipc, "class", refuse=True, effect=effect),
        Need(1024, "total", refuse=False, effect="its batches of 1,024 hold images twice"),
    )


def datadam(settings: Settings) -> tuple[Need, ...]:
    """DataDAM reshapes batches of all classes."""
    return (
        *real_init(settings),
        Need(settings.batch_real, "class", refuse=True, effect="the batches of the classes do not reshape"),
    )


def squeeze(_: Settings) -> tuple[Need, ...]:
    """SRe2L, G-VBSM, CV-DD: teachers are trained on the kept images, and their statistics are all."""
    return (
        empty_class("the teachers never see an empty class"),
        Need(128, "total", refuse=False, effect="an epoch of the teachers is a single step"),
    )


def rded(settings: Settings) -> tuple[Need, ...]:
    """RDED opens the first --mipc files of each class, and makes an image of factor squared of them."""
    grid = settings.ipc * settings.factor**2
    return (
        empty_class(),
        Need(
            grid,
            "class",
            refuse=True,
            effect="it fails, or fills images with one and the same silently",
        ),
        Need(settings.batch_real, "class", refuse=True, effect="it runs out of files; lower its --mipc"),
    )


def d4m(settings: Settings) -> tuple[Need, ...]:
    """D4M fits its clusters ten (--km_expand) times ipc images at a time."""
    needed = 10 * settings.ipc
    effect = "a class that never fills --km_expand (10) times --ipc images has no cluster centres"
    return (empty_class(), Need(needed, "class", refuse=True, effect=effect))


def selmatch(settings: Settings) -> tuple[Need, ...]:
    """SelMatch takes ipc images of each class after the first half of ipc (--beta 0.5) by difficulty."""
    window = settings.ipc + settings.ipc // 2
    effect = "the window does not reach so far, and it fails or copies a single image to several, silently"
    return (
        empty_class(),
        Need(window, "class", refuse=True, effect=effect),
        Need(256, "total", refuse=False, effect="an epoch of the experts is a single step"),
    )


def delt(settings: Settings) -> tuple[Need, ...]:
    """DELT takes ipc images around the middle of each class's ranking, and steps one beyond it."""
    effect = "the images around the middle of its ranking are not there, or it takes the first and last ones"
    return (
        empty_class("the class is missing among the selected ones"),
        Need(2 * (settings.ipc // 2) + 2, "class", refuse=True, effect=effect),
    )


def wmdd(settings: Settings) -> tuple[Need, ...]:
    """WMDD fits a barycentre of ipc points to the features of each class."""
    effect = "the barycentre of a class has more points than the class has images"
    return (
        empty_class("the features of an empty class cannot be put together"),
        Need(settings.ipc, "class", refuse=False, effect=effect),
    )


def ccfs(settings: Settings) -> tuple[Need, ...]:
    """CCFS selects what --alpha (0.2) leaves of ipc among the images that a filter gets wrong."""
    selected = settings.ipc - int(settings.ipc * 0.2)
    effect = "it selects fewer real images of a class than asked for, silently"
    return (
        empty_class("no real image of the class is selected, silently"),
        Need(selected, "class", refuse=True, effect=effect),
        Need(
            2 * selected, "class", refuse=False, effect=f"{effect}, unless its filters get half of them wrong"
        ),
    )

"""The vocabulary of the demo set: twelve categories, three sub-topics each, and what people write below."""

from __future__ import annotations

_TREE: dict[str, tuple[tuple[str, str, str], ...]] = {
    # category: (sub-topic, terms, Chinese titles)
    "cooking": (
        ("baking bread", "sourdough oven flour crust yeast", "家常面包做法|酸面团入门"),
        ("noodle soup", "broth noodles scallion dumpling bowl", "一碗热汤面|手工饺子教程"),
        ("street grill", "skewer charcoal grill marinade smoke", "街头烤串|炭火烤肉"),
    ),
    "travel": (
        ("mountain trek", "summit trail backpack ridge valley", "雪山徒步|山顶日出"),
        ("city walk", "old-town alley tram market skyline", "城市漫步|老街小巷"),
        ("island beach", "lagoon palm snorkel ferry sunset", "海岛假期|沙滩日落"),
    ),
    "nature": (
        ("forest birds", "owl nest woodpecker canopy feather", "林中鸟鸣|猫头鹰的夜晚"),
        ("deep sea", "whale coral jellyfish current reef", "深海鲸鱼|珊瑚与水母"),
        ("desert storm", "dune sandstorm cactus lightning canyon", "沙漠风暴|峡谷闪电"),
    ),
    "music": (
        ("piano practice", "chord sonata pedal scale etude", "钢琴练习|夜曲演奏"),
        ("jazz night", "saxophone swing trumpet improvisation club", "爵士之夜|萨克斯即兴"),
        ("synth session", "synthesizer sequencer oscillator bassline remix", "合成器现场|电子混音"),
    ),
    "gaming": (
        ("speedrun", "glitch record boss checkpoint controller", "速通记录|首领速杀"),
        ("strategy battle", "empire siege tactics resource alliance", "策略对战|攻城战术"),
        ("pixel platformer", "pixel jump level coin retro", "像素闯关|复古游戏"),
    ),
    "fitness": (
        ("yoga flow", "stretch breath balance pose mat", "清晨瑜伽|呼吸与拉伸"),
        ("strength training", "squat barbell deadlift muscle reps", "力量训练|深蹲教学"),
        ("marathon running", "marathon pace shoes interval finish-line", "马拉松训练|跑步配速"),
    ),
    "news": (
        ("election report", "ballot parliament candidate debate vote", "选举报道|议会辩论"),
        ("market update", "stocks inflation bank shares economy", "股市行情|经济快讯"),
        ("weather warning", "flood typhoon forecast rainfall evacuation", "台风预警|暴雨消息"),
    ),
    "science": (
        ("space telescope", "galaxy orbit telescope nebula rocket", "太空望远镜|星云与火箭"),
        ("chemistry lab", "reaction beaker crystal acid molecule", "化学实验|晶体生长"),
        ("robot engineering", "robot sensor motor algorithm circuit", "机器人制作|传感器入门"),
    ),
    "comedy": (
        ("stand-up", "joke microphone audience punchline heckler", "脱口秀|爆笑现场"),
        ("office sketch", "boss meeting printer colleague deadline", "办公室日常|老板来了"),
        ("funny pets", "cat puppy zoomies sofa treat", "搞笑猫咪|小狗拆家"),
    ),
    "crafts": (
        ("wood carving", "chisel walnut sanding joint workbench", "木雕手艺|榫卯结构"),
        ("knitting", "yarn needle sweater stitch wool", "毛衣编织|棒针入门"),
        ("pottery", "clay wheel glaze kiln vase", "陶艺拉坯|釉色花瓶"),
    ),
    "cars": (
        ("engine repair", "piston gearbox oil wrench garage", "发动机维修|更换机油"),
        ("rally racing", "rally drift gravel turbo lap", "拉力赛车|漂移瞬间"),
        ("electric vehicles", "battery charging range autopilot motorway", "电动车评测|充电体验"),
    ),
    "sleep": (
        ("rain ambience", "rain window drizzle thunder puddle", "雨声助眠|窗外细雨"),
        ("guided meditation", "meditation mindfulness calm body-scan silence", "冥想引导|静心时刻"),
        ("bedtime story", "fairy lantern moon rabbit lullaby", "睡前故事|月亮与兔子"),
    ),
}

CATEGORIES = tuple(_TREE)
SUBTOPICS = tuple((name, tuple(terms.split())) for rows in _TREE.values() for name, terms, _ in rows)
CHINESE = tuple(tuple(titles.split("|")) for rows in _TREE.values() for _, _, titles in rows)

TITLES = (
    "{name}: {first} and {second}",
    "My {first} for {name}",
    "{name} in five seconds",
    "The {first} nobody talks about",
    "How I learned {name} with a {second}",
    "{first}, {second} and more {name}",
)

DESCRIPTIONS = (
    "A short film on {name}. You will see a {first}, some {second} and the {third}.",
    "Everything about {name}: from {first} to {third}.",
    "We tried {second} for a week. Here is what {name} did to us.",
    "Today it is all about the {first} and the {third}. Tell me what you think!",
    "Part of a series on {name}, with {first} and {second}.",
)

MOODS = ("dreamy", "energetic", "sparkling", "outdoors", "soothing", "rough", "precise", "talkative")
"""One a sound, in the order of `catalogue.SOUNDS`."""

PRAISE = (
    "Absolutely loved the {term}, more please!", "This is wonderful. Best {name} video I have seen.",
    "So good, watched it twice.", "Beautiful work, thank you.", "太棒了,非常喜欢!", "Great {term}, great mood.",
)  # fmt: skip
BLAME = (
    "Boring, I skipped most of it.", "Terrible {term}, really disappointing.", "Waste of time.",
    "The worst {name} video so far.", "太无聊了,不喜欢。", "Awful sound and ugly picture.",
)  # fmt: skip
NEUTRAL = ("Where was this filmed?", "Which {term} is that?", "Part two?", "First.", "这是哪里?")

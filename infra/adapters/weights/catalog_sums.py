"""SHA-256 of files at the pinned commits, as public sources print them.

No machine of the authors reaches the hub. What stands here was found in several public repositories
that agree (whether one copied the other is not known): for t2v-1.3B six lists of the commit
0fad780a (some hashed the downloaded files, some printed the hub's answer), for mistral-7b three of
the commit 3a6fbf4a. A hub or mirror that announces other bytes for these commits is refused.
Nothing was found for vace-1.3B; its files are held to what the hub announces.
"""

from collections.abc import Mapping

MISTRAL_7B: Mapping[str, str] = {
    "mistral-7b-instruct-v0.2.Q4_K_M.gguf": (
        "3e0039fd0273fcbebb49228943b17831aadd55cbcbf56f0af00499be2040ccf9"
    ),
}
T2V_1_3B: Mapping[str, str] = {
    "model_index.json": "b8b28e022329acf975e027579a1d2dc3de44dba28f4c909b98a880fbf5b0de7d",
    "scheduler/scheduler_config.json": (
        "3fed2abbd9bbc301a74db01947198057ec5049808910dccab320925bf27bea6e"
    ),
    "text_encoder/config.json": "4087b6192155a4643f6d29fd326c4610103130674011ef4d0a53f8bce5de967d",
    "text_encoder/model-00001-of-00005.safetensors": (
        "c0ef3a140898e228a3520c9adec60743d2e8e5b3d229651bb37f1a3921919f99"
    ),
    "text_encoder/model-00002-of-00005.safetensors": (
        "481c7b2b39771c44df6dd8d13ee12ed072d731b4a650bd092885d4d52db229ad"
    ),
    "text_encoder/model-00003-of-00005.safetensors": (
        "f93148bcc04052a169e1e49bfcf6125df6cf9bf243cb9c627da75266cf8e35c3"
    ),
    "text_encoder/model-00004-of-00005.safetensors": (
        "a451792c739c05bca4606190cc2dd16731411bac03b4cf6aacc5767321f857c9"
    ),
    "text_encoder/model-00005-of-00005.safetensors": (
        "7e76e18d224531b8197a46231cb53daf7f2f6ca707130252becf933026ac4eea"
    ),
    "text_encoder/model.safetensors.index.json": (
        "8af791f24a6447aa30c95786f40adf23d3c9df97470d2f36159c8f1113f120b4"
    ),
    "tokenizer/special_tokens_map.json": (
        "456b58fd240a06c743a7c2cf8008bec501240d68ebd1fc4018ea569505fea270"
    ),
    "tokenizer/spiece.model": "e3909a67b780650b35cf529ac782ad2b6b26e6d1f849d3fbb6a872905f452458",
    "tokenizer/tokenizer.json": "20a46ac256746594ed7e1e3ef733b83fbc5a6f0922aa7480eda961743de080ef",
    "tokenizer/tokenizer_config.json": (
        "1d8d2a216bf8e70ac15b7ddcea566c4dd0433c024b39a58ca5e4c66bd78defbd"
    ),
    "transformer/config.json": "0b093fa072e9ff28763febe9b964ee582f566733a6d6709deb9dfba1bde16b81",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors": (
        "6d011927dbd2cc8afe53d57abab04a8fd86f615d83324770d985fb058ece3a24"
    ),
    "transformer/diffusion_pytorch_model-00002-of-00002.safetensors": (
        "b92ec2309b1f239af6f746431815a881afcc938abb26a4f08d9a2fd6c892f872"
    ),
    "transformer/diffusion_pytorch_model.safetensors.index.json": (
        "dcbcf3497134a3f50557ff069dd7d2c84b5c4d8c5932472f6bdb780fb4016589"
    ),
    "vae/config.json": "f0c1cc1d7decb5badc384f54691746a27a9aeff49f7ebca974e583389342d527",
    "vae/diffusion_pytorch_model.safetensors": (
        "d6e524b3fffede1787a74e81b30976dce5400c4439ba64222168e607ed19e793"
    ),
}

"""Opening a container under limits: formats that are media, no second file, no network, bounded streams and pixels."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, BinaryIO

import av

from avrec.errors import MediaError
from avrec.media.location import open_bytes
from avrec.media.sample import ABSENT
from avrec.params import LimitsParams

# Containers of sound and moving or still pictures. Left out are playlists and scripts (hls, dash, concat, sdp, image2,
# lavfi, imf), which make FFmpeg open other files, text (tty, ass, srt, svg), which it would gladly draw or list, and
# samples or pixels without any header (s16le, alaw, rawvideo), whose rate and size it would make up.
FORMATS = ",".join((
    "3gp,asf,avi,avif,amv,apng,dhav,dv,flv,gif,gxf,iff,ipu,ivf,kux,lxf,m4v,matroska,mj2,mlv,mov,mp4,mpeg,mpegts,mpegvideo",
    "mpjpeg,mxf,nsv,nut,nuv,ogg,pmp,pva,r3d,rm,smk,bink,roq,flic,film_cpk,swf,ty,vivo,webm,wtv,yuv4mpegpipe",
    "apv,av1,avs2,avs3,cavsvideo,dirac,dnxhd,evc,h261,h263,h264,hevc,mjpeg,mjpeg_2000,obu,vc1,vc1test,vvc",
    "aac,aax,ac3,ac4,aea,aiff,amr,amrnb,amrwb,ape,au,bonk,caf,dsf,dts,dtshd,eac3,flac,iamf,ilbc,ircam,laf,latm,lc3,loas",
    "mlp,mp3,mpc,mpc8,nistsphere,oma,osq,pvf,qcp,qoa,rka,shn,sox,tak,truehd,tta,voc,vqf,w64,wav,wavarc,wsd,wv,wve,xa,xwma",
    "bmp_pipe,dds_pipe,dpx_pipe,exr_pipe,gif_pipe,hdr_pipe,ico,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_anim,jpegxl_pipe",
    "jpegxs_pipe,pam_pipe,pbm_pipe,pcx_pipe,pfm_pipe,pgm_pipe,png_pipe,ppm_pipe,psd_pipe,qoi_pipe,sgi_pipe,sunrast_pipe",
    "tiff_pipe,webp_pipe,xwd_pipe,alias_pix,brender_pix,cri_pipe,fits,gem_pipe,pgmyuv_pipe,pgx_pipe,phm_pipe,photocd_pipe",
    "pictor_pipe,qdraw_pipe,txd,vbn_pipe,xbm_pipe,xpm_pipe",
    "4xm,anm,avs,bethsoftvid,bfi,bmv,c93,cdg,cdxl,cine,dfa,dsicin,dxa,ea,ea_cdata,filmstrip,frm,gdv,hnm,hxvs,idcin,ifv",
    "ipmovie,iv8,ivr,jv,live_flv,lmlm4,luodat,lvf,mgsts,mm,mods,moflex,mtv,mv,mvi,mxg,nc,paf,pdv,rl2,rpl,ser,sga,siff",
    "simbiosis_imx,smjpeg,smush,thp,tiertexseq,tmv,usm,vividas,vmd,wc3movie,wsvqa,xmv,yop",
    "3dostr,aa,ace,acm,act,adp,ads,adx,afc,aix,alp,apac,apc,apm,aptx,aptx_hd,argo_asf,argo_brp,argo_cvg,ast,avr,bfstm",
    "binka,bit,boa,brstm,codec2,daud,dcstr,derf,dfpwm,dss,epaf,fsb,fwse,g722,g723_1,g728,g729,genh,gsm,hca,hcom,iss,kvag",
    "mca,mmf,msf,mtaf,musx,nsp,pp_bnk,psxstr,redspark,rsd,rso,s337m,sbc,scd,sdns,sdr2,sds,sdx,sln,sol,spdif,svag,svs",
    "vag,vpk,wady,wsaud,xmd,xvag",
))  # fmt: skip
FAILURES = (av.FFmpegError, ValueError, OSError, EOFError, IndexError, NotImplementedError, UnicodeError)
"""What PyAV raises on broken input; `MemoryError` is handled apart."""


@dataclass(frozen=True)
class Media:
    """An open container and its one picture and one sound stream; either may be None, with a reason.

    `spare` are indices of chosen streams that another could stand in for: if one turns out to be undecodable, the file
    can be opened again without it.
    """

    container: Any
    bytes: int
    duration_s: float | None
    video: Any
    audio: Any
    no_video: str | None
    no_audio: str | None
    spare: frozenset[int] = frozenset()


@contextmanager
def open_media(address: str, limits: LimitsParams, without: Collection[int] = ()) -> Iterator[Media]:
    """Opens what `avrec.media.location.locate` returned.

    Streams with an index in `without` are not chosen.

    FFmpeg reads through our file object and may open nothing itself, so a file cannot make it read another.

    Raises:
        MediaError: not media, or beyond the limits of bytes, streams or duration.
    """
    file, size = open_bytes(address, limits.bytes)
    with file:
        container = _open(file, limits)
        with container:
            yield _checked(container, size, limits, without)


def _open(file: BinaryIO, limits: LimitsParams) -> Any:
    """The container of `file`, by name and content; or by content alone, since a name may speak against it.

    By the name of a `.jpg` FFmpeg takes a file for a series of pictures (image2), which is left out.
    """
    options = {"metadata_errors": "replace", "buffer_size": 1 << 18, "options": _options(limits)}
    try:
        return av.open(file, **options)
    except FAILURES as error:
        try:
            file.seek(0)
            return av.open(SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell), **options)
        except FAILURES:
            raise MediaError(f"not readable as media: {describe(error)}") from error


def _options(limits: LimitsParams) -> dict[str, str]:
    return {
        "protocol_whitelist": "none",
        "format_whitelist": FORMATS,
        "max_pixels": str(limits.pixels),
        "threads": "1",
    }


def _checked(container: Any, size: int, limits: LimitsParams, without: Collection[int]) -> Media:
    if len(container.streams) > limits.streams:
        raise MediaError(f"{len(container.streams)} streams, the limit is {limits.streams}")
    video: Any
    video, no_video = _best(container, "video", without)
    audio, no_audio = _best(container, "audio", without)
    spare = {s.index for s in (video, audio) if s is not None and len(_usable(container, s.type, without)) > 1}
    if video is not None and (video.width or 0) * (video.height or 0) > limits.pixels:
        video, no_video = None, f"picture of {video.width}x{video.height}, the limit is {limits.pixels} pixels"
    duration = _duration(container, video, audio)
    if duration is not None and duration > limits.duration_s:
        raise MediaError(f"{duration:.0f} s long, the limit is {limits.duration_s:.0f} s")
    for stream in (video, audio):
        if stream is not None:
            stream.codec_context.thread_count = 1  # parallel over files, not within one
    return Media(container, size, duration, video, audio, no_video, no_audio, frozenset(spare))


def _best(container: Any, kind: str, without: Collection[int]) -> tuple[Any, str | None]:
    """The stream to read: moving pictures before cover art, one we can decode before one we cannot."""
    if not getattr(container.streams, kind):
        return None, ABSENT[kind]
    usable = _usable(container, kind, without)
    if not usable:
        return None, f"no decoder for the {'picture' if kind == 'video' else 'sound'}"
    return min(usable, key=is_cover), None


def _usable(container: Any, kind: str, without: Collection[int]) -> list[Any]:
    streams = getattr(container.streams, kind)
    return [stream for stream in streams if stream.codec_context is not None and stream.index not in without]


def is_cover(stream: Any) -> bool:
    """Whether a picture stream is a picture attached to a song."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _duration(container: Any, *streams: Any) -> float | None:
    """Seconds as the container says, else as its longest stream says; None where nobody says.

    A Matroska file that begins hours after nought, as a recording of a broadcast may, states the second it ends at.
    """
    if container.duration and container.duration > 0:
        start = container.start_time or 0
        late = container.format.name.startswith("matroska") and container.duration > start > container.duration / 2
        return float(container.duration - (start if late else 0)) / float(av.time_base)
    known = [float(s.duration * s.time_base) for s in streams if s is not None and s.duration and s.time_base]
    known = [seconds for seconds in known if math.isfinite(seconds) and seconds > 0]
    return max(known, default=None)


def is_encrypted(packet: Any) -> bool:
    """Whether a packet is under common encryption (CENC): a decoder would make noise of it, or nothing."""
    return bool(packet.has_sidedata("encryption_info"))


def describe(error: BaseException) -> str:
    """FFmpeg's words without addresses, so that equal files give equal reasons."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200].rstrip(".").lower()

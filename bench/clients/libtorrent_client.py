"""libtorrent, driven: libtorrent_client.py TORRENT FOLDER bulk|default. Says `complete` and goes on serving.

`bulk` is what was found fastest between two machines, `default` in a swarm.
"""

import sys
import time

import libtorrent

torrent, folder, tuning = sys.argv[1:]
settings = libtorrent.high_performance_seed() if tuning == "bulk" else {}
if tuning == "bulk":
    settings |= {"max_out_request_queue": 1500, "hashing_threads": 2}
settings |= {
    "listen_interfaces": "0.0.0.0:6881",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "out_enc_policy": 2,
    "in_enc_policy": 2,
    "alert_mask": libtorrent.alert.category_t.storage_notification,
}
session = libtorrent.session(settings)
parameters = libtorrent.add_torrent_params()
parameters.ti = libtorrent.torrent_info(torrent)
parameters.save_path = folder
parameters.flags &= ~(libtorrent.torrent_flags.paused | libtorrent.torrent_flags.auto_managed)
handle = session.add_torrent(parameters)
print("libtorrent", libtorrent.__version__, flush=True)
while not handle.status().is_seeding:
    time.sleep(0.01)
# A piece counts once it is hashed, which can be before it is written.
handle.flush_cache()
while not any(isinstance(alert, libtorrent.cache_flushed_alert) for alert in session.pop_alerts()):
    session.wait_for_alert(100)
print("complete", flush=True)
while True:
    time.sleep(60)

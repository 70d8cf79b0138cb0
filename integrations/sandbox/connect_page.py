"""The HTML of the simulated Connect page; refers to nothing outside itself."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from integrations.sandbox.cars import Car
from integrations.sandbox.fleet import Driver

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;background:#f3f5f8;color:#1c2733;margin:0;padding:2rem 1rem}
main{max-width:30rem;margin:auto;background:#fff;border-radius:12px;padding:1.5rem 2rem;
box-shadow:0 2px 12px #0001}
h1{font-size:1.4rem}h2{font-size:1rem;margin:1.2rem 0 .3rem}label{display:block;padding:.15rem 0}
button{font:inherit;padding:.6rem 1.4rem;border-radius:8px;border:1px solid #345;background:#fff}
button.allow{background:#1a5fb4;border-color:#1a5fb4;color:#fff}
.note{color:#566;font-size:.9rem}.actions{display:flex;gap:.8rem;margin:1.2rem 0}
a:focus,button:focus,select:focus,input:focus{outline:3px solid #f6a000}
"""


def render_page(
    *,
    query: Mapping[str, Sequence[str]],
    drivers: Iterable[Driver],
    driver: Driver,
    cars: Iterable[Car],
    permissions: Iterable[str],
    required: Collection[str],
    errors: Iterable[str],
) -> str:
    """Return the page on which `driver` decides."""
    asked = {name: values[0] for name, values in query.items() if name != "driver"}
    here = {**asked, "driver": driver.email}
    return _document(
        "Share your car with Fleet Portal",
        f"""
<p class="note">This is a simulation of Smartcar Connect. No real car is involved.</p>
<p><strong>Fleet Portal</strong> asks to read data of your car.</p>
<form method="get" action="/oauth/authorize">{_hidden(asked)}
<h2><label for="driver">Your account</label></h2>
<select id="driver" name="driver">{_options(drivers, driver)}</select> <button>Switch</button>
</form>
<form method="post" action="/oauth/authorize?{escape(urlencode(here))}">
<input type="hidden" name="driver" value="{escape(driver.email)}">
<input type="hidden" name="vehicle"><input type="hidden" name="permission">
<h2>Cars</h2>{_cars(cars)}
<h2>Permissions</h2>{_permissions(permissions, required)}
<div class="actions"><button class="allow" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></div>
</form>
<h2>Or let it fail</h2><ul class="note">{_failures(here, errors)}</ul>""",
    )


def render_sign_in(*, query: Mapping[str, Sequence[str]], car: Car) -> str:
    """Return the page on which the owner signs in at the car's maker again."""
    here = urlencode({name: values[0] for name, values in query.items()})
    return _document(
        f"Sign in to {car.make.title()} again",
        f"""
<p class="note">This is a simulation of Smartcar Connect. No real car is involved.</p>
<p>{escape(f"{car.year} {car.make.title()} {car.model}")}
<span class="note">{escape(car.vin)}</span></p>
<form method="post" action="/oauth/reauthenticate?{escape(here)}">
<div class="actions"><button class="allow">Sign in</button></div>
</form>""",
    )


def render_refusal(message: str) -> str:
    """Return Connect's error page."""
    return _document("Something is not right", f"<p>{escape(message)}</p>")


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def _options(drivers: Iterable[Driver], chosen: Driver) -> str:
    return "".join(
        f'<option value="{escape(driver.email)}"{" selected" if driver == chosen else ""}>'
        f"{escape(driver.name)}</option>"
        for driver in drivers
    )


def _cars(cars: Iterable[Car]) -> str:
    rows = "".join(
        f'<label><input type="checkbox" name="vehicle" value="{car.smartcar_id}" checked> '
        f"{escape(f'{car.year} {car.make.title()} {car.model}')} "
        f'<span class="note">{escape(car.vin)}</span></label>'
        for car in cars
    )
    return rows or '<p class="note">There is no matching car in this account.</p>'


def _permissions(permissions: Iterable[str], required: Collection[str]) -> str:
    # A disabled box is not sent; required permissions are granted whatever the form says.
    return "".join(
        f'<label><input type="checkbox" name="permission" value="{escape(name)}" checked'
        f"{' disabled' if name in required else ''}> "
        f"{escape(name.replace('_', ' ').capitalize())}</label>"
        for name in permissions
    )


def _failures(asked: Mapping[str, str], errors: Iterable[str]) -> str:
    return "".join(
        f'<li><a href="/oauth/authorize?{escape(urlencode({**asked, "simulate": error}))}">'
        f"{escape(error.replace('_', ' '))}</a></li>"
        for error in errors
    )

"""``[web]``: the pages of the radiologist and the administrator, and who may come to them."""

from typing import Annotated

from pydantic import AfterValidator, Field

from config.links import ViewerLink
from config.section import Section
from config.values import Address, Host, OptionalSettingsPath, OptionalWebAddress, header_name

HeaderName = Annotated[
    str, AfterValidator(header_name), Field(description="the name of an HTTP header in quotation marks")
]
Names = Annotated[tuple[str, ...], Field(strict=False, description="a list of names in quotation marks")]


class OidcSettings(Section):
    """``[web.oidc]``: the hospital's single sign-on, by OpenID Connect."""

    issuer: OptionalWebAddress = ""  # "": there is none
    client_id: str = ""
    client_secret_file: OptionalSettingsPath = None  # None: a public client, which PKCE alone protects
    ca_file: OptionalSettingsPath = (
        None  # None: the provider's certificate is of an authority that the system trusts
    )
    scope: str = "openid profile"
    name_claim: str = "preferred_username"
    roles_claim: str = "roles"


class WebSettings(Section):
    """``[web]``: where the pages are, and for how long somebody stays in."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)  # 0: any port that is free
    tls: bool = False
    url: OptionalWebAddress = ""  # "": host and port above
    viewer_link: ViewerLink = ""
    session_minutes: float = Field(default=30.0, ge=1, le=1440)
    proxy_addresses: tuple[Address, ...] = Field(
        default=(), strict=False, description="a list of addresses and networks in quotation marks"
    )
    proxy_user_header: HeaderName = ""
    proxy_role_header: HeaderName = ""
    administrators: Names = ("administrator",)
    radiologists: Names = ("radiologist",)
    viewers: Names = ("viewer",)
    monitors: tuple[Address, ...] = Field(
        default=(), strict=False, description='a list of addresses or networks such as ["10.1.2.3"]'
    )
    oidc: OidcSettings = Field(default=OidcSettings(), description="a section of its own, [web.oidc]")

    @property
    def has_single_sign_on(self) -> bool:
        """Whether the hospital says who people are, and not the node alone."""
        return bool(self.oidc.issuer or self.proxy_user_header)

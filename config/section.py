"""What every section of the settings has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Values of the right type and no unknown names."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,  # port = "104" is a slip of the pen that a page or another tool may read otherwise
        allow_inf_nan=False,
        validate_default=True,  # a default path starts at the same folder as a written one ...
        revalidate_instances="always",  # ... also where its whole section is not written
        protected_namespaces=(),  # a section is called "model", as an administrator calls it
    )

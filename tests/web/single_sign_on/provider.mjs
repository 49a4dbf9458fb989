// A hospital's single sign-on by oidc-provider, which is certified by the OpenID Foundation:
//   node provider.mjs FOLDER PORT PAGES        (FOLDER has it installed; PAGES is the URL of the node's pages)
// Whoever logs in has the roles of ROLES. Pages to log in and to agree are the library's own, for development.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, port, pages] = process.argv.slice(2);
const library = join(folder, "node_modules", "oidc-provider", "lib", "index.js");
const { default: Provider } = await import(pathToFileURL(library));

const ROLES = { rita: ["radiology", "everybody"], "local-anna": ["it"], olga: ["it"] };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: "cxr-node",
    client_secret: "a secret of this test alone, long enough",
    redirect_uris: [`${pages}/single-sign-on/back`],
    post_logout_redirect_uris: [`${pages}/login`],
  }],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  pkce: { required: () => true },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id.replace("local-", ""), groups: ROLES[id] ?? [] }),
  }),
});
provider.listen(Number(port), "127.0.0.1");

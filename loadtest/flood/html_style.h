/* SPDX-License-Identifier: MIT */
/* The page's style: system fonts, two inks, light and dark.  Text on paper has a contrast of at
 * least 7, drawings of at least 4.5. */
#ifndef FAIRSLOT_FLOOD_HTML_STYLE_H
#define FAIRSLOT_FLOOD_HTML_STYLE_H

#define HTML_STYLE \
    ":root{--paper:#fbfaf7;--ink:#1d2326;--soft:#4a5458;--line:#cfd3d0;--tint:#eceeea;" \
    "--people:#0b6b72;--bot:#b03a1e;--ids:#7b868a;--third:#6a4a9c;--fourth:#8a6100}\n" \
    "@media (prefers-color-scheme:dark){:root{--paper:#14181a;--ink:#ecefed;--soft:#b4bdbf;" \
    "--line:#3a4245;--tint:#1f2628;--people:#58c3ca;--bot:#ff8d6d;--ids:#8f9a9e;" \
    "--third:#b9a0e8;--fourth:#e0b252}}\n" \
    "*{box-sizing:border-box}\n" \
    "body{margin:0;background:var(--paper);color:var(--ink);" \
    "font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n" \
    "main{max-width:1160px;margin:0 auto;padding:28px 20px 60px}\n" \
    ".kicker{margin:0 0 10px;color:var(--soft);font-size:14px}\n" \
    "h1{margin:0;font-size:clamp(23px,3.6vw,38px);line-height:1.24;font-weight:650;" \
    "letter-spacing:-.012em;max-width:32em;text-wrap:balance}\n" \
    "h2{margin:0 0 4px;font-size:20px;line-height:1.3}\n" \
    "section{margin-top:44px;padding-top:18px;border-top:1px solid var(--line)}\n" \
    "p{margin:0 0 14px;max-width:44em}section>p{color:var(--soft)}\n" \
    ".gallery{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));" \
    "gap:26px 34px}\n" \
    "figure{margin:0;min-width:0;max-width:520px}\n" \
    "figcaption{font-weight:600;margin:0 0 8px}\n" \
    "figcaption::first-letter{text-transform:uppercase}\n" \
    "svg{display:block;width:100%;height:auto;overflow:visible}\n" \
    "svg text{font-size:11.5px;fill:var(--ink)}svg text.name{font-weight:600;font-size:12.5px}\n" \
    "rect.people{fill:var(--people)}rect.bot{fill:var(--bot)}rect.ids{fill:var(--ids)}\n" \
    ".window{fill:var(--tint)}.axis,.grid,.range,.fair,.curve{fill:none}\n" \
    ".axis{stroke:var(--soft)}.grid{stroke:var(--line);stroke-width:.7}\n" \
    ".range{stroke:var(--ink);stroke-width:1.4}\n" \
    ".fair{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:5 4}\n" \
    ".rate{fill:var(--ids);opacity:.45}.curve{stroke-width:2}\n" \
    ".wpeople,.c2{stroke:var(--people)}.wbot,.c5{stroke:var(--bot);stroke-dasharray:6 3}\n" \
    ".c1{stroke:var(--ids);stroke-dasharray:2 3}.c4{stroke:var(--third);stroke-dasharray:9 3}\n" \
    ".c6{stroke:var(--fourth)}.c3{stroke:var(--soft);stroke-dasharray:1 3}\n" \
    ".c7{stroke:var(--ink);stroke-dasharray:12 3}.c8{stroke:var(--ink)}\n" \
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;padding:0;" \
    "margin:14px 0 0;font-size:14px}\n" \
    ".legend li{display:flex;align-items:center;gap:8px}\n" \
    ".legend svg{width:28px;flex:none}\n" \
    ".wide{overflow-x:auto;margin:18px 0 0}.wide+p{margin-top:10px}\n" \
    ".wide:focus-visible{outline:2px solid var(--people)}\n" \
    "table{border-collapse:collapse;width:100%;font-size:14px;" \
    "font-variant-numeric:tabular-nums}\n" \
    "caption{text-align:left;font-weight:600;padding:0 0 6px}\n" \
    "caption::first-letter{text-transform:uppercase}\n" \
    "th,td{padding:6px 10px;text-align:right;white-space:nowrap;" \
    "border-bottom:1px solid var(--line)}\n" \
    "th:first-child{text-align:left;padding-left:0}thead th{color:var(--soft);font-weight:500}\n" \
    "dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:6px 18px;" \
    "margin:16px 0 0}\n" \
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}ul{max-width:48em}\n" \
    "@media (max-width:520px){dl{grid-template-columns:minmax(0,1fr);gap:0}" \
    "dd{margin:0 0 10px}main{padding:20px 16px 40px}}\n" \
    "@media print{section{break-inside:avoid}}\n"

#endif

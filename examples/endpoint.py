"""Calls a deployed endpoint with nothing but Python itself: set the address and a key, and run `python examples/endpoint.py`.

Both are what `bankmlops endpoints show NAME` and `bankmlops endpoints keys NAME` print, or what Azure ML Studio shows on the
endpoint's page. The environment variables SCORING_URI and SCORING_KEY take their place where a key should not stand in a file.
"""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request

SCORING_URI = os.environ.get("SCORING_URI", "http://127.0.0.1:8080/score")
KEY = os.environ.get("SCORING_KEY", "THE-PRIMARY-OR-SECONDARY-KEY")

ROWS = [
    {
        "age": 57,
        "job": "technician",
        "marital": "married",
        "education": "high.school",
        "default": "no",
        "housing": "no",
        "loan": "yes",
        "contact": "cellular",
        "month": "may",
        "day_of_week": "mon",
        "duration": 371,
        "campaign": 1,
        "pdays": 999,
        "previous": 1,
        "poutcome": "failure",
        "emp.var.rate": -1.8,
        "cons.price.idx": 92.893,
        "cons.conf.idx": -46.2,
        "euribor3m": 1.299,
        "nr.employed": 5099.1,
    },
    {
        "age": 31,
        "job": "admin.",
        "marital": "single",
        "education": "university.degree",
        "default": "no",
        "housing": "yes",
        "loan": "no",
        "contact": "cellular",
        "month": "mar",
        "day_of_week": "thu",
        "duration": 1042,
        "campaign": 2,
        "pdays": 6,
        "previous": 2,
        "poutcome": "success",
        "emp.var.rate": -1.8,
        "cons.price.idx": 92.843,
        "cons.conf.idx": -50.0,
        "euribor3m": 1.703,
        "nr.employed": 5099.1,
    },
]


def main() -> None:
    """Score both rows, and print the answer."""
    request = urllib.request.Request(
        SCORING_URI,
        data=json.dumps({"data": ROWS}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        sys.exit(f"the endpoint answered {error.code}: {error.read().decode(errors='replace')}")
    except (urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        sys.exit(f"{SCORING_URI}: {error}")
    # Azure ML answers a JSON string that holds JSON.
    print(json.loads(answer) if isinstance(answer, str) else answer)


if __name__ == "__main__":
    main()
